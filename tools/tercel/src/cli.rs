//! The command line: what each sub-command takes, with an example each.
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A low-latency trading core: strategies in a small checked language, one state machine for backtest, paper and live.
#[derive(Parser, Debug)]
#[command(name = "tercel", version, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    Demo(Demo),
    Run(Run),
    Venue(Venue),
    Check(Check),
    Eval(Eval),
    Backtest(Backtest),
    Replay(Replay),
    Kill(Kill),
    Ctl(Ctl),
    Data(Data),
}

/// Trade recorded market data end to end: venue, sidecar and engine on loopback, then prove the run by replay.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tercel demo\n  tercel demo --seconds 10 --json\n  tercel demo --speed 4 --keep run/mine --strategy my.strat"
)]
pub struct Demo {
    /// Print the report as JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// How long to trade, in seconds of the recording.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// How much faster than recorded the venue plays. Latency figures are printed only at 1.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub speed: u32,
    /// A recorded Binance USD-M file to play instead of the built-in one.
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// A strategy to run instead of the two built-in ones; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub strategy: Vec<PathBuf>,
    /// Keep journal, logs and reports in this directory (must not exist or be empty).
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Run without the signal sidecar.
    #[arg(long)]
    pub no_sidecar: bool,
}

/// Run the engine with a configuration file until Ctrl-C.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tercel run --config tercel.toml\n  tercel run --config tercel.toml --check-only")]
pub struct Run {
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the configuration and the strategies, start nothing.
    #[arg(long)]
    pub check_only: bool,
    /// Print the final report as JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// Stop by itself after this many seconds of wall time.
    #[arg(long, value_name = "N")]
    pub seconds: Option<u64>,
    /// Kill the process at a named instant (for crash tests), as POINT or POINT:COUNT.
    #[arg(long, value_name = "POINT", hide = true)]
    pub crash_at: Option<String>,
    /// Make a thread hang this many seconds after the start (for tests of the kill switch).
    #[arg(long, value_name = "N", hide = true)]
    pub wedge_after: Option<u64>,
    /// Which thread hangs then.
    #[arg(long, value_name = "THREAD", default_value = "core", hide = true)]
    pub wedge: Wedge,
    /// End without cancelling: log out and leave the orders with the venue (for tests of the restart).
    #[arg(long, hide = true)]
    pub leave_orders: bool,
}

/// Threads that a test can make hang.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum Wedge {
    Core,
    Orders,
}

/// Play a recorded Binance USD-M file over HTTP and WebSocket and match FIX orders against it.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tercel venue --data btcusdt.jsonts.gz --dir run/venue\n  tercel venue --data btcusdt.jsonts.gz --http-port 9001 --fix-port 9002 --speed 4"
)]
pub struct Venue {
    /// The recording; the built-in one when absent.
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Where logs and the FIX store go.
    #[arg(long, value_name = "DIR", default_value = "run/venue")]
    pub dir: PathBuf,
    /// 0 picks a free port.
    #[arg(long, default_value_t = 0)]
    pub http_port: u16,
    #[arg(long, default_value_t = 0)]
    pub fix_port: u16,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub speed: u32,
    /// Stop this many seconds of the recording after its start.
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Engine time at which the recording starts, UTC ns; at the first subscriber when absent.
    #[arg(long, value_name = "NS")]
    pub start_at: Option<i64>,
    /// A planned fault such as `drop-depth@8s` or `disconnect-fix@15s`; may be given several times.
    #[arg(long, value_name = "WHAT@WHEN")]
    pub fault: Vec<String>,
    /// End when standard input ends: for a parent process that may die.
    #[arg(long, hide = true)]
    pub with_parent: bool,
    #[arg(long)]
    pub json: bool,
}

/// Check a strategy: units, clocks, bounds; print its static report.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  tercel check strategies/as_maker.strat\n  tercel check strategies/*.strat --json")]
pub struct Check {
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

/// Play events on a strategy and print named values, exact, at each of their instants.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tercel eval mine.strat --events events.csv --print fair,skew\n  tercel eval mine.strat --events events.csv --engine interp --set x.tick=0.1 --set clip=0.02 --out values.csv --json\n\ndocs/reference/eval.md has the format of the events and of the output."
)]
pub struct Eval {
    /// The strategy; one without any `quote` or `target` is as good as another.
    #[arg(value_name = "FILE.strat")]
    pub file: PathBuf,
    /// The events, one a line: ts_ns,kind,instrument,…
    #[arg(long, value_name = "EVENTS.csv")]
    pub events: PathBuf,
    /// Names of `let`s, parted by commas; all of them when absent.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub print: Vec<String>,
    /// The interpreter or machine code; both print the same.
    #[arg(long, default_value = "jit")]
    pub engine: EvalEngine,
    /// Standard output when absent.
    #[arg(long, value_name = "OUT.csv")]
    pub out: Option<PathBuf>,
    /// A parameter, or `tick`, `lot`, `min_qty`, `min_notional`, `maker`, `taker` of an instrument. Steps and lots are the finest decimals of the file otherwise, lots at most 0.001.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Print what was played as JSON on standard output.
    #[arg(long, requires = "out")]
    pub json: bool,
}

/// What runs a strategy in `eval`.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum EvalEngine {
    Interp,
    Jit,
}

/// Run a strategy over a recorded file with the venue's matching, in process.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tercel backtest --strategy strategies/as_maker.strat --data btcusdt.jsonts.gz\n  tercel backtest --latency journal:run/mine --data btcusdt.jsonts.gz"
)]
pub struct Backtest {
    /// May be given several times; with `--latency journal:DIR` the journal's own strategies are the default.
    #[arg(long, value_name = "FILE")]
    pub strategy: Vec<PathBuf>,
    /// The recording; the built-in one when absent.
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// `constant:FEED_US,ORDER_US,REPORT_US` or `journal:DIR`.
    #[arg(long, default_value = "constant:100,200,200", value_name = "MODEL")]
    pub latency: String,
    /// Only this many seconds of the recording.
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Compare the commands with those of this run's journal and list the differences by cause.
    #[arg(long, value_name = "DIR")]
    pub compare: Option<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

/// Re-run the core over a journal and compare every command and the state hash.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tercel replay run/mine\n  tercel replay run/mine --strategy other.strat   # must fail: another text"
)]
pub struct Replay {
    /// Directory of the run.
    pub dir: PathBuf,
    /// Use this text instead of the journalled one.
    #[arg(long, value_name = "FILE")]
    pub strategy: Vec<PathBuf>,
    #[arg(long)]
    pub json: bool,
}

/// Cancel everything of a running engine and block new orders, through the gateways, even with the core wedged.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tercel kill run/mine\n  tercel kill run/mine --clear\n\nThe same word is raised by `touch run/mine/KILL` and by SIGUSR1 to the engine."
)]
pub struct Kill {
    /// Directory of the run.
    pub dir: PathBuf,
    /// Take the word back: the gateways send orders again. The core trades again after `tercel ctl DIR mode active`.
    #[arg(long)]
    pub clear: bool,
    #[arg(long)]
    pub json: bool,
}

/// Operator actions on a running engine; each becomes a frame of the journal.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tercel ctl run/mine param as_maker clip 0.02\n  tercel ctl run/mine mode halted\n  tercel ctl run/mine mode active --strategy as_maker\n  tercel ctl run/mine rearm as_maker"
)]
pub struct Ctl {
    /// Directory of the run.
    pub dir: PathBuf,
    /// Print the answer as JSON: `ok`, with `done` or `error` in words.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub action: CtlAction,
}

#[derive(Subcommand, Debug)]
pub enum CtlAction {
    /// Set a strategy parameter, in the unit it is declared in (durations in seconds).
    Param {
        strategy: String,
        name: String,
        #[arg(allow_negative_numbers = true)]
        value: f64,
    },
    /// Set the trading state of everything, of a strategy or of an account: active, reducing or halted.
    Mode {
        state: String,
        /// Only this strategy.
        #[arg(long, value_name = "NAME")]
        strategy: Option<String>,
        /// Only this account.
        #[arg(long, value_name = "NAME", conflicts_with = "strategy")]
        account: Option<String>,
    },
    /// Kill one strategy: cancel its orders and block new ones.
    Kill { strategy: String },
    /// End the latched verdicts of a strategy.
    Rearm { strategy: String },
}

/// Look at recorded market data.
#[derive(Args, Debug)]
pub struct Data {
    #[command(subcommand)]
    pub action: DataAction,
}

#[derive(Subcommand, Debug)]
pub enum DataAction {
    /// Best bid and ask of the depth book (without the touch overlay) after each depth message, as CSV.
    #[command(after_help = "Example:\n  tercel data bbo --data btcusdt.jsonts.gz --out bbo.csv")]
    Bbo {
        /// The recording; the built-in one when absent. Several files are read as one.
        #[arg(long, value_name = "FILE")]
        data: Vec<PathBuf>,
        /// Standard output when absent.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Print one JSON object a line instead of CSV.
        #[arg(long)]
        json: bool,
    },
}
