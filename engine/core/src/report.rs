//! What a run came to, as numbers: for the final report, for `--json` and for tests. Allocates; never called by `step`.
use crate::market::FeedCounters;
use crate::{Core, Gate, STRATEGY_LIMIT};
use tercel_event::{NotSentWhy, StateDigest};
use tercel_types::{AccountId, InstrumentId, Money, Qty, SourceId, StrategyId};

/// Controls that refuse, by number; limits of strategies are counted together.
const CONTROLS: usize = 64;

/// Everything that the core counts. `rejects` is by control number, `STRATEGY_LIMIT` summed into slot 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    pub frames: u64,
    /// Frames whose content cannot be used.
    pub bad_frames: u64,
    pub commands: u64,
    pub orders: u64,
    pub replaces: u64,
    pub cancels: u64,
    pub sent: u64,
    pub not_sent: [u64; NotSentWhy::Unsupported as usize + 1],
    pub fills: u64,
    /// Fills that added liquidity.
    pub fills_passive: u64,
    /// Fills that left quantity of their order open.
    pub fills_partial: u64,
    /// Replaces that the venue acknowledged.
    pub replaced: u64,
    pub venue_rejects: u64,
    pub cancel_rejects: u64,
    pub message_rejects: u64,
    /// Reports of the venue that the gateway could not read.
    pub unreadable_reports: u64,
    pub order_breaches: u64,
    pub status_asked: u64,
    pub late_mass_status: u64,
    /// Orders of ours that the venue had and the order table had not.
    pub adopted: u64,
    /// Orders of ours that no strategy of the run owns, cancelled at reconciliation.
    pub orphans: u64,
    pub session_losses: u64,
    pub gates_opened: u64,
    pub epochs: u64,
    pub verdicts: u64,
    /// Halts that risk latched by itself.
    pub halts: u64,
    /// Times that risk and the order table disagreed.
    pub ledger_differences: u64,
    pub kills: u64,
    pub params_set: u64,
    pub params_refused: u64,
    pub limits_set: u64,
    pub limits_refused: u64,
    pub swaps_refused: u64,
    pub signals_used: u64,
    pub signals_absent: u64,
    pub rejects: [u64; CONTROLS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            frames: 0,
            bad_frames: 0,
            commands: 0,
            orders: 0,
            replaces: 0,
            cancels: 0,
            sent: 0,
            not_sent: [0; NotSentWhy::Unsupported as usize + 1],
            fills: 0,
            fills_passive: 0,
            fills_partial: 0,
            replaced: 0,
            venue_rejects: 0,
            cancel_rejects: 0,
            message_rejects: 0,
            unreadable_reports: 0,
            order_breaches: 0,
            status_asked: 0,
            late_mass_status: 0,
            adopted: 0,
            orphans: 0,
            session_losses: 0,
            gates_opened: 0,
            epochs: 0,
            verdicts: 0,
            halts: 0,
            ledger_differences: 0,
            kills: 0,
            params_set: 0,
            params_refused: 0,
            limits_set: 0,
            limits_refused: 0,
            swaps_refused: 0,
            signals_used: 0,
            signals_absent: 0,
            rejects: [0; CONTROLS],
        }
    }
}

impl Counters {
    #[inline]
    pub(crate) fn reject(&mut self, control: u16) {
        let at = if control >= STRATEGY_LIMIT { 0 } else { usize::from(control) };
        if let Some(count) = self.rejects.get_mut(at) {
            *count += 1;
        }
    }
}

/// Profit in the settlement currency. `net = realised + unrealised − fees`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pnl {
    pub realised: Money,
    pub unrealised: Money,
    pub fees: Money,
    pub net: Money,
}

/// One position with its profit at the last live closing price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionReport {
    pub instrument: InstrumentId,
    pub symbol: String,
    pub settle: String,
    pub qty: Qty,
    pub bought: Qty,
    pub sold: Qty,
    pub fills: u64,
    pub pnl: Pnl,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrategyReport {
    pub id: StrategyId,
    /// Name in the configuration.
    pub name: String,
    pub hash: u64,
    pub account: AccountId,
    pub mode: String,
    pub instants: u64,
    pub halted: bool,
    pub positions: Vec<PositionReport>,
    /// Sum over the positions; meaningful when they settle in one currency.
    pub pnl: Pnl,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountReport {
    pub id: AccountId,
    pub name: String,
    pub positions: Vec<PositionReport>,
    pub pnl: Pnl,
}

#[derive(Clone, Debug, PartialEq)]
pub struct FeedReport {
    pub instrument: InstrumentId,
    pub symbol: String,
    pub counters: FeedCounters,
    pub live: bool,
    /// Words of the faults that hold now.
    pub faults: Vec<&'static str>,
    /// Share of the feed's time with a live book, 0 to 1; `None` before its first frame.
    pub live_share: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub seq: u64,
    pub counters: Counters,
    pub strategies: Vec<StrategyReport>,
    pub accounts: Vec<AccountReport>,
    pub feeds: Vec<FeedReport>,
    pub sessions: Vec<(SourceId, Gate)>,
    /// Orders refused: control number and count, ascending, without zeros; 0 is the strategies' own limits.
    pub rejects: Vec<(u16, u64)>,
    /// Open orders, unknown ones included.
    pub orders_open: usize,
    pub digest: StateDigest,
    pub state_hash: u64,
}

impl Core {
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn report(&self) -> Report {
        let strategies = self.runners.iter().zip(&self.config.strategies).map(|(runner, own)| {
            let positions: Vec<_> = runner
                .bound
                .instruments
                .iter()
                .filter_map(|&id| self.position_report(id, &self.orders.position(runner.id, id)))
                .collect();
            StrategyReport {
                id: runner.id,
                name: own.name.clone(),
                hash: runner.manifest.hash,
                account: runner.account,
                mode: runner.strategy.mode_name().to_string(),
                instants: runner.instants,
                halted: runner.limits.halted || runner.stopped.is_some(),
                pnl: sum(&positions),
                positions,
            }
        });
        let accounts = self.config.accounts.iter().enumerate().map(|(idx, account)| {
            let id = AccountId(idx as u16);
            let all = self.config.instruments.0.iter();
            let positions: Vec<_> = all
                .filter_map(|i| self.position_report(i.id, &self.orders.account_position(id, i.id)))
                .filter(|position| position.fills > 0)
                .collect();
            AccountReport { id, name: account.name.clone(), pnl: sum(&positions), positions }
        });
        let feeds = self.books.iter().enumerate().map(|(idx, book)| {
            let counters = self.feed_counters(idx);
            let total = counters.live_ns + counters.not_live_ns;
            FeedReport {
                instrument: book.instrument(),
                symbol: self.config.instruments.0.get(idx).map(|i| i.symbol.clone()).unwrap_or_default(),
                counters,
                live: book.is_live(),
                faults: book.quality().faults.names().collect(),
                live_share: (total > 0).then(|| counters.live_ns as f64 / total as f64),
            }
        });
        let rejects = self.counters.rejects.iter().enumerate().filter(|(_, n)| **n > 0);
        Report {
            seq: self.seq,
            counters: self.counters,
            strategies: strategies.collect(),
            accounts: accounts.collect(),
            feeds: feeds.collect(),
            sessions: self.sessions.iter().map(|session| (session.src, session.gate)).collect(),
            rejects: rejects.map(|(control, count)| (control as u16, *count)).collect(),
            orders_open: self.orders.open_all().count(),
            digest: self.digest(),
            state_hash: self.state_hash(),
        }
    }

    fn position_report(&self, id: InstrumentId, position: &tercel_order::Position) -> Option<PositionReport> {
        let instrument = self.config.instruments.get(id)?;
        let mark = self.marks.get(id.idx()).and_then(|mark| mark.of(position.qty));
        let unrealised = mark.and_then(|px| position.unrealised(instrument, px)).unwrap_or(Money::ZERO);
        let (realised, fees) = (position.realised, position.fees);
        Some(PositionReport {
            instrument: id,
            symbol: instrument.symbol.clone(),
            settle: instrument.settle.clone(),
            qty: position.qty,
            bought: position.bought,
            sold: position.sold,
            fills: position.fills,
            pnl: Pnl { realised, unrealised, fees, net: realised + unrealised - fees },
        })
    }
}

fn sum(positions: &[PositionReport]) -> Pnl {
    positions.iter().fold(Pnl::default(), |sum, position| Pnl {
        realised: sum.realised + position.pnl.realised,
        unrealised: sum.unrealised + position.pnl.unrealised,
        fees: sum.fees + position.pnl.fees,
        net: sum.net + position.pnl.net,
    })
}
