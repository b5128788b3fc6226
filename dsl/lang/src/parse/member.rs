//! Members of a file and of a strategy, from the grammar's pairs.
use super::{Builder, Rule, inner};
use crate::ast::*;
use crate::parse::expr::error;
use crate::span::Span;
use pest::iterators::Pair;

pub(super) fn starters_help() -> String {
    "members begin with `instrument`, `param`, `signal`, `let`, `mode`, `risk`, `quote`, `target`, `when` or `on`"
        .into()
}

pub(super) fn use_decl(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Use> {
    let pair = inner(pair, Rule::use_decl)?;
    let span = b.span(&pair);
    let (mut path, mut names, mut alias, mut renames) = (Vec::new(), Vec::new(), None, false);
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::path => path = b.path(part),
            Rule::k_as => renames = true,
            Rule::ident if renames => alias = Some(b.name(&part)),
            Rule::ident => names.push(b.name(&part)),
            _ => {}
        }
    }
    Some(Use { path, names: (!names.is_empty()).then_some(names), alias, span })
}

pub(super) fn strategy_head(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<(Name, u64, Span)> {
    let head = inner(pair, Rule::strategy_head)?;
    let (mut name, mut version) = (None, None);
    for part in head.into_inner() {
        match part.as_rule() {
            Rule::ident => name = Some(b.name(&part)),
            Rule::int => version = Some((b.int(&part), b.span(&part))),
            _ => {}
        }
    }
    let (version, span) = version?;
    Some((name?, version, span))
}

pub(super) fn mode_head(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Mode> {
    let head = inner(pair, Rule::mode_head)?;
    let span = b.span(&head);
    let (mut name, mut values, mut initial) = (None, Vec::new(), false);
    for part in head.into_inner() {
        match part.as_rule() {
            Rule::ident => name = Some(b.name(&part)),
            Rule::formals => values = part.into_inner().filter_map(|p| formal(b, p)).collect(),
            Rule::k_initial => initial = true,
            _ => {}
        }
    }
    Some(Mode { name: name?, values, initial, body: Vec::new(), span })
}

pub(super) fn mode_item(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<ModeItem> {
    let item = inner(pair, Rule::in_mode)?;
    let part = item.into_inner().find(|p| p.as_rule() != Rule::doc)?;
    match part.as_rule() {
        Rule::let_ => match let_(b, part) {
            Ok(value) => Some(ModeItem::Let(value)),
            Err(unsupported) => Some(ModeItem::Unsupported(unsupported)),
        },
        Rule::sink => sink(b, part).map(ModeItem::Sink),
        _ => Some(ModeItem::Unsupported(Unsupported {
            what: "`for … in` over a basket",
            name: None,
            span: b.span(&part),
        })),
    }
}

pub(super) fn member(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Member> {
    let member = inner(pair, Rule::member)?;
    let part = member.into_inner().find(|p| p.as_rule() != Rule::doc)?;
    let span = b.span(&part);
    let name = declared_name(b, &part);
    let refuse = |what| Some(Member::Unsupported(Unsupported { what, name, span }));
    match part.as_rule() {
        Rule::instrument => instrument(b, part).map(Member::Instrument),
        Rule::param => match param(b, part) {
            Ok(param) => param.map(Member::Param),
            Err(unsupported) => Some(Member::Unsupported(unsupported)),
        },
        Rule::signal => match signal(b, part) {
            Ok(signal) => signal.map(Member::Signal),
            Err(unsupported) => Some(Member::Unsupported(unsupported)),
        },
        Rule::let_ => Some(match let_(b, part) {
            Ok(value) => Member::Let(value),
            Err(unsupported) => Member::Unsupported(unsupported),
        }),
        Rule::budget => budget(b, part).map(Member::Budget),
        Rule::sink => sink(b, part).map(Member::Sink),
        Rule::basket => refuse("`basket`"),
        Rule::state => match state(b, part) {
            Ok(state) => state.map(Member::State),
            Err(unsupported) => Some(Member::Unsupported(unsupported)),
        },
        Rule::invariant => refuse("`invariant` (use a `limit`)"),
        Rule::each => refuse("`for … in` over a basket"),
        Rule::plot => refuse("`plot`"),
        _ => None,
    }
}

/// The first name inside a declaration.
fn declared_name(b: &Builder<'_>, pair: &Pair<'_, Rule>) -> Option<Name> {
    let part = pair.clone().into_inner().find(|p| matches!(p.as_rule(), Rule::ident | Rule::name))?;
    match part.as_rule() {
        Rule::name => part.into_inner().next().map(|p| b.name(&p)),
        _ => Some(b.name(&part)),
    }
}

/// `name` without a family, or the refusal of `name[i in u]`.
fn plain_name(b: &Builder<'_>, pair: Pair<'_, Rule>) -> Result<Name, Unsupported> {
    let span = b.span(&pair);
    let mut parts = pair.into_inner();
    match (parts.next(), parts.next()) {
        (Some(ident), None) => Ok(b.name(&ident)),
        (Some(ident), _) => Err(Unsupported { what: "a family `name[i in u]`", name: Some(b.name(&ident)), span }),
        _ => Err(Unsupported { what: "a family `name[i in u]`", name: None, span }),
    }
}

fn instrument(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Instrument> {
    let span = b.span(&pair);
    let (mut idents, mut symbols, mut extra) = (Vec::new(), Vec::new(), None);
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::ident => idents.push(b.name(&part)),
            Rule::symbol => symbols.push(b.name(&part)),
            Rule::string | Rule::arg => extra = Some(b.span(&part)),
            _ => {}
        }
    }
    let (mut idents, mut symbols) = (idents.into_iter(), symbols.into_iter());
    let (name, kind) = (idents.next()?, idents.next()?);
    let base = symbols.next().unwrap_or(Name { text: String::new(), span });
    Some(Instrument { name, kind, base, quote: symbols.next(), extra, span })
}

fn param(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Result<Option<Param>, Unsupported> {
    let span = b.span(&pair);
    let (mut name, mut ty_, mut scale, mut values) = (None, None, None, Vec::new());
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::name => name = Some(plain_name(b, part)?),
            Rule::ty => ty_ = ty(b, part),
            Rule::expr => values.push(b.expr(part)),
            Rule::ident => scale = Some(b.name(&part)),
            _ => {}
        }
    }
    let mut values = values.into_iter();
    let default = values.next();
    let range = values.next().zip(values.next());
    Ok(name.zip(ty_).zip(default).map(|((name, ty), default)| Param { name, ty, default, range, scale, span }))
}

fn signal(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Result<Option<Signal>, Unsupported> {
    let span = b.span(&pair);
    let (mut name, mut ty_, mut model, mut max_age, mut schema) = (None, None, None, None, None);
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::name => name = Some(plain_name(b, part)?),
            Rule::ty => ty_ = ty(b, part),
            Rule::string => {
                model = Some(Name { text: part.as_str().trim_matches('"').to_string(), span: b.span(&part) });
            }
            Rule::expr => max_age = Some(b.expr(part)),
            Rule::int => schema = Some((b.int(&part), b.span(&part))),
            _ => {}
        }
    }
    let parts = name.zip(ty_).zip(model).zip(max_age);
    Ok(parts.map(|(((name, ty), model), max_age)| Signal { name, ty, model, max_age, schema, span }))
}

pub(super) fn let_(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Result<Let, Unsupported> {
    let span = b.span(&pair);
    let (mut name, mut ty_, mut value) = (Name { text: String::new(), span }, None, error(span));
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::name => name = plain_name(b, part)?,
            Rule::ty => ty_ = ty(b, part),
            Rule::sampled => value = b.sampled(part),
            _ => {}
        }
    }
    Ok(Let { name, ty: ty_, value, span })
}

pub(super) fn state(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Result<Option<State>, Unsupported> {
    let span = b.span(&pair);
    let (mut name, mut ty_, mut value, mut persist) = (None, None, None, false);
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::k_persist => persist = true,
            Rule::name => name = Some(plain_name(b, part)?),
            Rule::ty => ty_ = ty(b, part),
            Rule::expr => value = Some(b.expr(part)),
            Rule::k_was => return Err(Unsupported { what: "`was`: renaming a state", name, span: b.span(&part) }),
            _ => {}
        }
    }
    Ok(name.zip(ty_).zip(value).map(|((name, ty), value)| State { name, ty, value, persist, span }))
}

fn budget(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Budget> {
    let span = b.span(&pair);
    let (mut operations, mut entry) = (String::new(), Vec::new());
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::number => operations = part.as_str().replace('_', ""),
            Rule::path => entry = b.path(part),
            _ => {}
        }
    }
    Some(Budget { operations, entry, span })
}

fn sink(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Sink> {
    let part = pair.into_inner().next()?;
    match part.as_rule() {
        Rule::rule => rule(b, part).map(Sink::Rule),
        Rule::quote => quote(b, part).map(Sink::Quote),
        _ => target(b, part).map(Sink::Target),
    }
}

pub(super) fn rule(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Rule_> {
    let span = b.span(&pair);
    let (mut trigger_event, mut guard, mut actions, mut is_on) = (None, None, Vec::new(), false);
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::k_on => is_on = true,
            Rule::event => trigger_event = Some(event(b, part)?),
            Rule::expr => guard = Some(b.expr(part)),
            Rule::action => action(b, part, &mut actions),
            _ => {}
        }
    }
    let trigger = if is_on { Trigger::On { event: trigger_event?, guard } } else { Trigger::When(guard?) };
    Some(Rule_ { trigger, actions, span })
}

/// The tree's rule; `Rule` alone is the grammar's here.
type Rule_ = crate::ast::Rule;

fn event(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Event> {
    let span = b.span(&pair);
    let mut paths = Vec::new();
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::quantity => return Some(Event::Every(b.quantity(part))),
            Rule::path => paths.push(b.path(part)),
            Rule::event_word => paths.push(vec![b.name(&part)]),
            _ => {}
        }
    }
    let mut paths = paths.into_iter();
    Some(Event::Source { kind: paths.next()?, of: paths.next(), span })
}

fn action(b: &mut Builder<'_>, pair: Pair<'_, Rule>, out: &mut Vec<Action>) {
    let span = b.span(&pair);
    let mut parts = pair.into_inner();
    let Some(first) = parts.next() else { return };
    match first.as_rule() {
        Rule::action => {
            action(b, first, out);
            for part in parts {
                action(b, part, out);
            }
        }
        Rule::next => {
            let mut parts = first.into_inner().filter(|p| p.as_rule() != Rule::k_next);
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                out.push(Action::Next { name: b.name(&name), value: b.expr(value), span });
            }
        }
        Rule::k_go => {
            let Some(mode) = parts.next().map(|p| b.name(&p)) else { return };
            let args = parts.next().map(|p| b.args(p)).unwrap_or_default();
            out.push(Action::Go { mode, args, span });
        }
        Rule::k_halt => out.push(Action::Halt { message: text(parts.next()), span }),
        Rule::k_finish => out.push(Action::Finish { message: text(parts.next()), span }),
        _ => out.push(Action::Note { span }),
    }
}

fn quote(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Quote> {
    let span = b.span(&pair);
    let (mut instrument, mut guard, mut legs, mut with) = (None, None, Vec::new(), Vec::new());
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::ident => instrument = Some(b.name(&part)),
            Rule::expr => guard = Some(b.expr(part)),
            Rule::leg => legs.extend(leg(b, part)),
            Rule::with => with = with_items(b, part),
            _ => {}
        }
    }
    Some(Quote { instrument: instrument?, guard, legs, with, span })
}

fn leg(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Leg> {
    let span = b.span(&pair);
    let (mut is_bid, mut values, mut family) = (false, Vec::new(), None);
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::k_bid => is_bid = true,
            Rule::expr => values.push(b.expr(part)),
            Rule::k_for => family = Some(b.span(&part)),
            _ => {}
        }
    }
    let mut values = values.into_iter();
    let (qty, px) = values.next().zip(values.next())?;
    Some(Leg { is_bid, qty, px, guard: values.next(), family, span })
}

fn with_items(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Vec<WithItem> {
    pair.into_inner()
        .filter(|p| p.as_rule() == Rule::with_item)
        .filter_map(|item| {
            let span = b.span(&item);
            let mut parts = item.into_inner();
            let name = b.name(&parts.next()?);
            let args = parts.next().map(|p| b.args(p)).unwrap_or_default();
            Some(WithItem { name, args, span })
        })
        .collect()
}

fn target(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Target> {
    let span = b.span(&pair);
    let (mut instrument, mut values, mut via, mut via_args, mut with) =
        (None, Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::ident => instrument = Some(b.name(&part)),
            Rule::expr => values.push(b.expr(part)),
            Rule::call => {
                for part in part.into_inner() {
                    match part.as_rule() {
                        Rule::path => via = b.path(part),
                        _ => via_args = b.args(part),
                    }
                }
            }
            Rule::with => with = with_items(b, part),
            _ => {}
        }
    }
    let mut values = values.into_iter();
    Some(Target { instrument: instrument?, value: values.next()?, guard: values.next(), via, via_args, with, span })
}

pub(super) fn limit(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Limit> {
    let pair = inner(pair, Rule::limit)?;
    let span = b.span(&pair);
    let (mut metric, mut args, mut bound, mut per, mut verdicts) = (Vec::new(), Vec::new(), None, None, Vec::new());
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::call_or_path => {
                for part in part.into_inner() {
                    match part.as_rule() {
                        Rule::path => metric = b.path(part),
                        _ => args = b.args(part),
                    }
                }
            }
            Rule::expr => bound = Some(b.expr(part)),
            Rule::quantity => per = Some(Per::Window(b.quantity(part))),
            Rule::ident => per = Some(Per::Word(b.name(&part))),
            Rule::verdict => verdict(b, part, &mut verdicts),
            _ => {}
        }
    }
    Some(Limit { metric, args, bound: bound?, per, verdicts, span })
}

fn verdict(b: &mut Builder<'_>, pair: Pair<'_, Rule>, out: &mut Vec<Verdict>) {
    let span = b.span(&pair);
    let mut parts = pair.into_inner();
    let Some(first) = parts.next() else { return };
    match first.as_rule() {
        Rule::verdict => {
            verdict(b, first, out);
            for part in parts {
                verdict(b, part, out);
            }
        }
        Rule::k_flatten => out.extend(parts.next().map(|p| Verdict::Flatten(b.name(&p)))),
        Rule::k_pull => out.extend(parts.next().map(|p| Verdict::Pull(b.name(&p)))),
        _ => out.push(Verdict::Halt { message: text(parts.next()), span }),
    }
}

fn text(pair: Option<Pair<'_, Rule>>) -> String {
    pair.map_or_else(String::new, |p| p.as_str().trim_matches('"').to_string())
}

pub(super) fn formal(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Formal> {
    let (mut name, mut ty_, mut default) = (None, None, None);
    for part in pair.into_inner() {
        match part.as_rule() {
            Rule::ident => name = Some(b.name(&part)),
            Rule::ty => ty_ = ty(b, part),
            _ => default = Some(b.expr(part)),
        }
    }
    Some(Formal { name: name?, ty: ty_?, default })
}

/// `1/price[x]`, `qty[b]/qty[a]`: the signs between factors are read from the text, since the grammar keeps them silent.
pub(super) fn ty(b: &mut Builder<'_>, pair: Pair<'_, Rule>) -> Option<Ty> {
    let span = b.span(&pair);
    let (text, from) = (pair.as_str(), pair.as_span().start());
    let optional = text.trim_end().ends_with('?');
    let mut factors = Vec::new();
    let mut behind = 0;
    for part in pair.into_inner() {
        let at = part.as_span().start() - from;
        let divides = text.get(behind..at).is_some_and(|gap| gap.contains('/'));
        behind = part.as_span().end() - from;
        let span = b.span(&part);
        let (mut name, mut index, mut exponent) = (Name { text: "1".into(), span }, None, 1i32);
        for word in part.into_inner() {
            match word.as_rule() {
                Rule::ident => name = b.name(&word),
                Rule::path => index = b.path(word).into_iter().next(),
                _ => exponent = i32::try_from(b.int(&word).min(16)).unwrap_or(16),
            }
        }
        factors.push(Factor { name, index, exponent: if divides { -exponent } else { exponent }, span });
    }
    Some(Ty { factors, optional, span })
}
