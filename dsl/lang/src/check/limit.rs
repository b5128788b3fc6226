//! Risk limits: `limit METRIC <= BOUND else VERDICT`.
use super::declare::money_unit;
use super::{Checker, Ty};
use crate::ast::{self, ExprKind, Limit, Per};
use crate::diagnostic::{Diagnostic, nearest};
use crate::unit::Unit;
use tercel_event::{LimitSpec, Metric, Verdict};
use tercel_types::DurationNs;

const METRICS: &[&str] = &["position", "notional", "order_size", "order_rate", "feed_silence", "loss"];

impl Checker<'_> {
    pub fn limit(&mut self, limit: &Limit) {
        let Some((metric, unit)) = self.metric(limit) else { return };
        let bound = self.expr(&limit.bound);
        let word = limit.metric[0].text.as_str();
        self.expect_ty(&bound, &unit, limit.bound.span, &format!("a bound of `{word}` is"));
        if bound.traits.pulse {
            self.report(Diagnostic::new("E0213", limit.bound.span, "a pulse is no bound").help("write a value"));
        }
        let pre_trade = matches!(
            metric,
            Metric::Position(_) | Metric::Notional(_) | Metric::OrderSize(_) | Metric::OrderRate { .. }
        );
        if limit.verdicts.is_empty() && !pre_trade {
            let alias = self.instruments.first().map_or("x".to_string(), |i| i.alias.clone());
            self.report(
                Diagnostic::new("E0421", limit.span, format!("expected `else` and a verdict for `{word}`"))
                    .label("no single order can be refused for it")
                    .help(format!("write `… else pull {alias}`, or `else {{ flatten {alias}; halt \"why\" }}`")),
            );
        }
        let mut verdicts = Vec::new();
        for verdict in &limit.verdicts {
            match verdict {
                ast::Verdict::Pull(name) => verdicts.extend(self.instrument_named(name).map(Verdict::Pull)),
                ast::Verdict::Flatten(name) => verdicts.extend(self.instrument_named(name).map(Verdict::Flatten)),
                ast::Verdict::Halt { message, .. } => verdicts.push(Verdict::Halt(self.message(message))),
            }
        }
        if verdicts.is_empty() {
            verdicts.push(Verdict::Refuse);
        }
        let bound_slot = self.slot();
        self.program.limits.push(bound.node);
        self.manifest.limits.push(LimitSpec { metric, bound_slot, verdicts });
    }

    fn metric(&mut self, limit: &Limit) -> Option<(Metric, Ty)> {
        let word = limit.metric.iter().map(|n| n.text.as_str()).collect::<Vec<_>>().join(".");
        let metric_span = limit.metric.first().map_or(limit.span, |n| n.span);
        if matches!(word.as_str(), "gross" | "net" | "bought" | "unhedged" | "slippage" | "book_age") {
            self.unsupported(&format!("`limit {word}`; metrics are {}", METRICS.join(", ")), metric_span);
            return None;
        }
        if !METRICS.contains(&word.as_str()) {
            let help = match nearest(&word, METRICS.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("metrics are {}", METRICS.join(", ")),
            };
            self.report(Diagnostic::new("E0422", metric_span, format!("unknown metric `{word}`")).help(help));
            return None;
        }
        let of_instrument = !matches!(word.as_str(), "order_rate" | "loss");
        let instrument = match (of_instrument, limit.args.as_slice()) {
            (false, []) => None,
            (true, [arg]) if arg.name.is_none() => match &arg.value.kind {
                ExprKind::Path(path) if path.len() == 1 => Some(self.instrument_named(&path[0])?),
                _ => {
                    let message = format!("expected an instrument for `{word}`, found `{}`", self.text(arg.value.span));
                    self.report(Diagnostic::new("E0206", arg.value.span, message).help(format!("write `{word}(x)`")));
                    return None;
                }
            },
            _ => {
                let alias = self.instruments.first().map_or("x".to_string(), |i| i.alias.clone());
                let form = if of_instrument { format!("{word}({alias})") } else { word.clone() };
                let message = format!("wrong arguments for `{word}`");
                self.report(Diagnostic::new("E0205", metric_span, message).help(format!("write `limit {form} <= …`")));
                return None;
            }
        };
        let metric = match (word.as_str(), instrument) {
            ("position", Some(x)) => (Metric::Position(x), Ty::Num(self.qty_unit(x))),
            ("order_size", Some(x)) => (Metric::OrderSize(x), Ty::Num(self.qty_unit(x))),
            ("notional", Some(x)) => (Metric::Notional(x), Ty::Num(money_unit(&self.instruments[x as usize]))),
            ("feed_silence", Some(x)) => (Metric::FeedSilence(x), Ty::Num(Unit::second())),
            ("loss", _) => {
                let money = self.instruments.first().map_or_else(Unit::ratio, money_unit);
                match &limit.per {
                    Some(Per::Word(day)) if day.text == "day" => {}
                    _ => {
                        let message = "expected `per day` behind the bound of `loss`";
                        self.report(
                            Diagnostic::new("E0423", limit.bound.span, message)
                                .help("write `limit loss <= 300 USDT per day else …`"),
                        );
                    }
                }
                return Some((Metric::LossPerDay, Ty::Num(money)));
            }
            _ => {
                let per = match &limit.per {
                    Some(Per::Window(window)) => self.constant_span(window, "the window")?,
                    _ => {
                        let message = "expected `per` and a duration behind the bound of `order_rate`";
                        self.report(
                            Diagnostic::new("E0423", limit.bound.span, message)
                                .help("write `limit order_rate <= 40 per 1s`"),
                        );
                        return None;
                    }
                };
                return Some((Metric::OrderRate { per: DurationNs(per) }, Ty::Num(Unit::ratio())));
            }
        };
        if limit.per.is_some() {
            let message = format!("`{word}` has no `per`");
            self.report(Diagnostic::new("E0423", limit.bound.span, message).help("delete `per …`"));
        }
        Some(metric)
    }
}
