//! The kill switch of the gateway: cancels all that its own table shows, without the core, and refuses new orders.
use super::{Desk, KILL_SHARD};
use crate::session::Link;
use crate::store::Store;
use tercel_net::{GatewayIo, Now};
use tercel_types::{ClOrdId, DurationNs, TimeNs};

/// After this long a cancel without effect is repeated.
const AGAIN_AFTER: DurationNs = DurationNs::from_secs(2);
const TRIES_MAX: u8 = 5;

#[derive(Debug)]
pub(super) struct Kill {
    on: bool,
    epoch: u32,
    counter: u64,
    /// A mass status answer has been complete since the process began: the table holds every order of the session.
    complete: bool,
}

impl Kill {
    pub(super) fn new(epoch: u32) -> Self {
        Self { on: false, epoch, counter: 0, complete: false }
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    pub(super) fn end(&mut self) {
        self.on = false;
    }

    pub(super) fn set_complete(&mut self) {
        self.complete = true;
    }

    /// 2^38 ids in one epoch: `None` is not reached by five tries for each order.
    fn next_id(&mut self) -> Option<ClOrdId> {
        self.counter += 1;
        ClOrdId::new(self.epoch, KILL_SHARD, self.counter)
    }
}

impl Desk {
    pub(super) fn begin_kill<S: Store>(&mut self, link: &mut Link<S>, now: Now, io: &mut (dyn GatewayIo + '_)) {
        if !self.kill.on {
            self.kill.on = true;
            self.kill_on_logon(link, now, io);
        }
    }

    /// With the kill on and a session: asks for what the table may not hold, and cancels what it holds, again after a
    /// reconnect, since a cancel of the connection before may be lost.
    pub(super) fn kill_on_logon<S: Store>(&mut self, link: &mut Link<S>, now: Now, io: &mut (dyn GatewayIo + '_)) {
        if !self.kill.on || !link.is_logged_on() {
            return;
        }
        self.for_each_order(|desk, slot| {
            let entry = desk.table.entry_mut(slot);
            (entry.kill_tries, entry.kill_target) = (0, ClOrdId::NONE);
            desk.kill_order(slot, link, now, io);
        });
        if !self.kill.complete
            && let Some(request) = self.kill.next_id()
        {
            // Not written means the session is going down: the next logon asks again.
            let _ = self.send_mass_status(request, link, now, io);
        }
    }

    /// One order, unless its cancel is on its way already.
    pub(super) fn kill_order<S: Store>(
        &mut self,
        slot: u32,
        link: &mut Link<S>,
        now: Now,
        io: &mut (dyn GatewayIo + '_),
    ) {
        if !self.kill.on {
            return;
        }
        let entry = *self.table.entry(slot);
        let waiting = entry.kill_target == entry.current && now.wall.since(entry.kill_at) < AGAIN_AFTER;
        if waiting || entry.kill_tries >= TRIES_MAX {
            return;
        }
        let Some(id) = self.kill.next_id() else { return };
        if self.send_kill_cancel(slot, id, link, now, io).is_ok() {
            let entry = self.table.entry_mut(slot);
            entry.kill_tries += 1;
            (entry.kill_target, entry.kill_at) = (entry.current, now.wall);
        }
    }

    pub(super) fn kill_on_time<S: Store>(&mut self, link: &mut Link<S>, now: Now, io: &mut (dyn GatewayIo + '_)) {
        if self.kill_deadline(link).is_some_and(|deadline| now.wall >= deadline) {
            self.for_each_order(|desk, slot| desk.kill_order(slot, link, now, io));
        }
    }

    /// When a cancel is to be repeated.
    pub(super) fn kill_deadline<S: Store>(&self, link: &Link<S>) -> Option<TimeNs> {
        if !self.kill.on || !link.is_logged_on() {
            return None;
        }
        let (mut from, mut soonest) = (0, None);
        while let Some(slot) = self.table.next_used(from) {
            let entry = self.table.entry(slot);
            if entry.kill_tries < TRIES_MAX {
                let due = entry.kill_at.saturating_add(AGAIN_AFTER);
                soonest = Some(soonest.map_or(due, |before: TimeNs| before.min(due)));
            }
            from = slot + 1;
        }
        soonest
    }

    fn for_each_order(&mut self, mut act: impl FnMut(&mut Self, u32)) {
        let mut from = 0;
        while let Some(slot) = self.table.next_used(from) {
            act(self, slot);
            from = slot + 1;
        }
    }
}
