//! The tree of a strategy, as written: every node keeps its place in the source. What it means is decided in `check`.
use crate::span::Span;

/// A name where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub text: String,
    pub span: Span,
}

#[derive(Clone, Debug, Default)]
pub struct File {
    pub edition: Option<(u64, Span)>,
    pub uses: Vec<Use>,
    pub functions: Vec<Function>,
    pub strategies: Vec<Strategy>,
    /// Parsed, but refused by this version.
    pub unsupported: Vec<Unsupported>,
    /// Names whose definition could not be read: their uses stay silent.
    pub broken: Vec<Name>,
}

/// `use std.micro.{ofi}`.
#[derive(Clone, Debug)]
pub struct Use {
    pub path: Vec<Name>,
    /// `None`: the last word of `path` is what is used.
    pub names: Option<Vec<Name>>,
    /// `use std.ta.{rsi} as strength`.
    pub alias: Option<Name>,
    pub span: Span,
}

/// `fn`: one expression, without memory. `indicator`: a body that may remember, and one result or several with names.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: Name,
    pub formals: Vec<Formal>,
    /// One without a name, or two and more with names.
    pub results: Vec<FunctionResult>,
    pub body: Vec<BodyItem>,
    /// What `return` gives, or the expression of a `fn`: in the order of the text.
    pub returned: Vec<(Option<Name>, Expr)>,
    pub is_indicator: bool,
    /// From the keyword to the type of the result: the signature as written.
    pub head: Span,
    /// The `///` lines in front of it, without the slashes.
    pub doc: String,
}

#[derive(Clone, Debug)]
pub struct FunctionResult {
    pub name: Option<Name>,
    pub ty: Ty,
}

#[derive(Clone, Debug)]
pub enum BodyItem {
    Let(Let),
    State(State),
    Rule(Rule),
    /// `next s = e` alone: at every tick of `e`.
    Next {
        name: Name,
        value: Expr,
        span: Span,
    },
    Unsupported(Unsupported),
}

/// A construct of the first edition that this version parses and refuses.
#[derive(Clone, Debug)]
pub struct Unsupported {
    pub what: &'static str,
    /// What it would define: later uses of the name stay silent.
    pub name: Option<Name>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Strategy {
    pub name: Name,
    pub version: u64,
    pub version_span: Span,
    pub members: Vec<Member>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum Member {
    Instrument(Instrument),
    Param(Param),
    Signal(Signal),
    State(State),
    Let(Let),
    Budget(Budget),
    Mode(Mode),
    Risk(Vec<Limit>),
    Sink(Sink),
    Unsupported(Unsupported),
}

/// `instrument x: perp(BTC/USDT) at primary`.
#[derive(Clone, Debug)]
pub struct Instrument {
    pub name: Name,
    pub kind: Name,
    pub base: Name,
    pub quote: Option<Name>,
    pub extra: Option<Span>,
    pub span: Span,
}

/// `param clip: qty[x] = 0.01 BTC in 0.001 BTC .. 0.1 BTC scale log`.
#[derive(Clone, Debug)]
pub struct Param {
    pub name: Name,
    pub ty: Ty,
    pub default: Expr,
    pub range: Option<(Expr, Expr)>,
    pub scale: Option<Name>,
    pub span: Span,
}

/// `signal alpha: bps from "lob_tcn" max_age 20ms schema 3`.
#[derive(Clone, Debug)]
pub struct Signal {
    pub name: Name,
    pub ty: Ty,
    pub model: Name,
    pub max_age: Expr,
    pub schema: Option<(u64, Span)>,
    pub span: Span,
}

/// `persist state side: int = 0`.
#[derive(Clone, Debug)]
pub struct State {
    pub name: Name,
    pub ty: Ty,
    pub value: Expr,
    pub persist: bool,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Let {
    pub name: Name,
    pub ty: Option<Ty>,
    pub value: Expr,
    pub span: Span,
}

/// `budget 400 ops per book(x)` reads as `budget 400 ops per book`.
#[derive(Clone, Debug)]
pub struct Budget {
    pub operations: String,
    pub entry: Vec<Name>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Mode {
    pub name: Name,
    pub values: Vec<Formal>,
    pub initial: bool,
    pub body: Vec<ModeItem>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Formal {
    pub name: Name,
    pub ty: Ty,
    pub default: Option<Expr>,
}

#[derive(Clone, Debug)]
pub enum ModeItem {
    Let(Let),
    Sink(Sink),
    Unsupported(Unsupported),
}

#[derive(Clone, Debug)]
pub enum Sink {
    Rule(Rule),
    Quote(Quote),
    Target(Target),
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub trigger: Trigger,
    pub actions: Vec<Action>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum Trigger {
    /// `when c`: c turns true, or is true in the first round of the mode.
    When(Expr),
    /// `on e if c`: at each tick of `e`.
    On { event: Event, guard: Option<Expr> },
}

#[derive(Clone, Debug)]
pub enum Event {
    Every(Expr),
    /// `book(x)`, `signal(s)`.
    Source {
        kind: Vec<Name>,
        of: Option<Vec<Name>>,
        span: Span,
    },
}

#[derive(Clone, Debug)]
pub enum Action {
    Go { mode: Name, args: Vec<Arg>, span: Span },
    Next { name: Name, value: Expr, span: Span },
    Halt { message: String, span: Span },
    Finish { message: String, span: Span },
    Note { span: Span },
}

#[derive(Clone, Debug)]
pub struct Quote {
    pub instrument: Name,
    pub guard: Option<Expr>,
    pub legs: Vec<Leg>,
    pub with: Vec<WithItem>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Leg {
    pub is_bid: bool,
    pub qty: Expr,
    pub px: Expr,
    pub guard: Option<Expr>,
    /// `for k in 0 .. 4`.
    pub family: Option<Span>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct WithItem {
    pub name: Name,
    pub args: Vec<Arg>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Target {
    pub instrument: Name,
    pub value: Expr,
    pub guard: Option<Expr>,
    pub via: Vec<Name>,
    pub via_args: Vec<Arg>,
    pub with: Vec<WithItem>,
    pub span: Span,
}

/// `limit METRIC <= BOUND per WINDOW else VERDICT`.
#[derive(Clone, Debug)]
pub struct Limit {
    pub metric: Vec<Name>,
    pub args: Vec<Arg>,
    pub bound: Expr,
    pub per: Option<Per>,
    pub verdicts: Vec<Verdict>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum Per {
    Window(Expr),
    Word(Name),
}

#[derive(Clone, Debug)]
pub enum Verdict {
    Pull(Name),
    Flatten(Name),
    Halt { message: String, span: Span },
}

/// A unit as written: factors with exponents, in order.
#[derive(Clone, Debug)]
pub struct Ty {
    pub factors: Vec<Factor>,
    pub optional: bool,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Factor {
    /// `1`, `bps`, `price`, …
    pub name: Name,
    /// `x` of `price[x]`.
    pub index: Option<Name>,
    /// Negative below a `/`.
    pub exponent: i32,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Arg {
    pub name: Option<Name>,
    pub value: Expr,
    /// `for i in u`.
    pub family: Option<Span>,
}

#[derive(Clone, Debug)]
pub struct Expr {
    pub kind: ExprKind,
    pub span: Span,
    /// Height of the tree; bounded by the parser, so that every walk may recurse.
    pub depth: u32,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `1_000.5 BTC`: the digits without `_`, and the unit word.
    Quantity {
        digits: String,
        unit: Option<Name>,
    },
    Str(String),
    Path(Vec<Name>),
    Call {
        path: Vec<Name>,
        args: Vec<Arg>,
    },
    Index {
        base: Box<Expr>,
        index: Box<Expr>,
    },
    Field {
        base: Box<Expr>,
        name: Name,
        args: Option<Vec<Arg>>,
    },
    Unary {
        op: UnaryOp,
        arg: Box<Expr>,
    },
    Binary {
        op: BinaryOp,
        op_span: Span,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    If {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    /// `e @ every 1s`.
    Sample {
        value: Box<Expr>,
        clock: Clock,
    },
    /// Refused by the parser, which has said why; checks stay silent about it.
    Error,
}

impl Expr {
    /// Visits this node and every node below it, in the order of the text.
    pub fn walk(&self, visit: &mut impl FnMut(&Self)) {
        visit(self);
        match &self.kind {
            ExprKind::Call { args, .. } => args.iter().for_each(|a| a.value.walk(visit)),
            ExprKind::Index { base, index } => {
                base.walk(visit);
                index.walk(visit);
            }
            ExprKind::Field { base, args, .. } => {
                base.walk(visit);
                args.iter().flatten().for_each(|a| a.value.walk(visit));
            }
            ExprKind::Unary { arg, .. } => arg.walk(visit),
            ExprKind::Binary { left, right, .. } => {
                left.walk(visit);
                right.walk(visit);
            }
            ExprKind::If { condition, then, otherwise } => {
                condition.walk(visit);
                then.walk(visit);
                otherwise.walk(visit);
            }
            ExprKind::Sample { value, .. } => value.walk(visit),
            ExprKind::Quantity { .. } | ExprKind::Str(_) | ExprKind::Path(_) | ExprKind::Error => {}
        }
    }
}

#[derive(Clone, Debug)]
pub enum Clock {
    Every(Box<Expr>),
    Path(Vec<Name>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnaryOp {
    Neg,
    Not,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    Or,
    And,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    CrossesAbove,
    CrossesBelow,
    Coalesce,
    Add,
    Sub,
    Mul,
    Div,
    Pow,
}

impl BinaryOp {
    pub fn word(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::CrossesAbove => "crosses_above",
            Self::CrossesBelow => "crosses_below",
            Self::Coalesce => "??",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Pow => "^",
        }
    }

    /// Loosest 1. `or` < `and` < `not` (3) < comparison < `??` < sum < product < unary minus (8) < `^`.
    pub fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Lt | Self::Le | Self::Gt | Self::Ge | Self::Eq | Self::Ne => 4,
            Self::CrossesAbove | Self::CrossesBelow => 4,
            Self::Coalesce => 5,
            Self::Add | Self::Sub => 6,
            Self::Mul | Self::Div => 7,
            Self::Pow => 9,
        }
    }

    pub fn is_comparison(self) -> bool {
        self.precedence() == 4
    }
}
