//! What a bootstrap means for the servers: when it is due, and what follows when it has given
//! accounts.

use lamplighter_model::{Now, Ssid};

use super::Client;
use crate::{
    bootstrap::{self, BootstrapState, BootstrapStatus, Cause, Left, Settled},
    boundary::{BootstrapEvent, Event, Output},
    object::ACCESS_CONTROL,
    operation::gateway_resource,
    perform::{News, Turn},
    saved::Record,
    tree::Tree,
};

impl Client {
    /// The bootstrap server; its address is `None` where there is no account.
    pub fn bootstrap(&self) -> BootstrapStatus {
        self.bootstrap.status(&self.accounts)
    }

    /// Where it stands, without the words.
    pub fn bootstrap_state(&self) -> BootstrapState {
        self.bootstrap.state(&self.accounts)
    }

    /// Servers of the configuration about which a bootstrap server has decided otherwise.
    pub fn overruled(&self) -> Vec<String> {
        self.accounts.overruled()
    }

    /// After a start: accounts that were just given may be on trial still.
    pub(super) fn resume_bootstrap(&mut self, now: Now) {
        self.shared
            .core
            .set_bootstrap(self.accounts.bootstrap().is_some());
        if self.servers.is_empty() {
            self.want_bootstrap(Cause::NoServer, now);
        }
        self.purge_at = self.accounts.purge_at(now);
    }

    /// False where nobody can be asked.
    pub(super) fn want_bootstrap(&mut self, cause: Cause, now: Now) -> bool {
        let Some((_, account)) = self.accounts.bootstrap() else {
            return false;
        };
        if self.stopping {
            return true;
        }
        let mut terms = self.accounts.terms();
        terms.security = account.clone();
        self.bootstrap.begin(cause, &terms, &mut self.shared, now);
        true
    }

    /// 1/x/16. While what was given is on trial there is something better to go back to.
    pub(super) fn bootstrap_after(&mut self, failed: Ssid, now: Now) {
        if self.accounts.fallback().is_some() {
            return;
        }
        if !self.want_bootstrap(Cause::Registration(failed), now) {
            let event = Event::BootstrapWanted(failed);
            self.shared.out.push(Output::Event(event));
        }
    }

    pub(super) fn bootstrap_timeouts(&mut self, tree: &mut Tree, now: Now) {
        self.bootstrap
            .handle_timeout(&self.accounts, &mut self.shared, now);
        if self
            .accounts
            .rollback_at()
            .is_some_and(|due| due <= now.mono)
        {
            self.roll_back(tree, now);
        }
        if let Some(time) = self.accounts.poll_time(now) {
            self.shared.out.push(Output::Journal(time));
        }
        if self
            .accounts
            .purge_at(now)
            .is_some_and(|due| due <= now.mono)
            && let Some(record) = self.accounts.purge()
        {
            self.shared.out.commit(record);
            self.shared.core.set_bootstrap(false);
            bootstrap::tell(BootstrapEvent::AccountEnded, &mut self.shared);
        }
    }

    pub(super) fn bootstrap_timeout(&self) -> Option<(std::time::Duration, &'static str)> {
        let rollback = self.accounts.rollback_at();
        let rollback = rollback.map(|due| (due, "return to former accounts"));
        let time = self.accounts.time_at();
        let time = time.map(|due| (due, "time on trial"));
        let purge = self
            .purge_at
            .map(|due| (due, "end of the bootstrap account"));
        let own = self.bootstrap.timeout();
        [own, rollback, time, purge].into_iter().flatten().min()
    }

    /// Whether anything moved that servers have to know.
    pub(super) fn settle_bootstrap(&mut self, tree: &mut Tree, now: Now) -> bool {
        if self.bootstrap.is_due(now) {
            if self.is_bootstrap_wanted() {
                let (accounts, shared) = (&self.accounts, &mut self.shared);
                self.bootstrap.attempt(accounts, shared, now);
            } else {
                self.bootstrap.stop(&mut self.shared, now);
            }
        }
        let mut turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        self.bootstrap.settle(&self.accounts, &mut turn);
        let settled = self.bootstrap.take_settled();
        let has_settled = settled.is_some();
        if let Some(settled) = settled {
            self.accept(*settled, tree, now);
        }
        self.shared.is_bootstrapped = self.bootstrap.is_writing();
        self.purge_at = self.accounts.purge_at(now);
        has_settled
    }

    /// Keeps what a bootstrap server has finished, answers it, and carries it out.
    fn accept(&mut self, settled: Settled, tree: &mut Tree, now: Now) {
        let (written, servers) = (settled.written.clone(), settled.servers.clone());
        let left = self.left(&settled, now);
        let mut turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        self.accounts.accept(settled, left, &mut turn);
        bootstrap::tell(BootstrapEvent::Finished(servers), turn.shared);
        self.bootstrap.settle(&self.accounts, &mut turn);
        self.leave_servers(&written, tree, now);
        self.join_servers(&[], tree, now);
    }

    /// What goes with the accounts that are not what they were.
    fn left(&self, settled: &Settled, now: Now) -> Left {
        let mut left = Left::default();
        for (ssid, server) in &self.servers {
            if !settled.servers.contains(ssid) || settled.written.contains(ssid) {
                left.back.extend(server.kept(&self.shared.core, now));
                left.removals.extend(server.removals());
            } else {
                let gone = settled.stored.iter().filter(|(_, held)| held.is_none());
                let gone = gone.flat_map(|(path, _)| server.kept_attributes((*path).into()));
                left.back.extend(gone);
            }
        }
        let former = self
            .former
            .iter()
            .map(|(ssid, outbox)| (*ssid, outbox.next()));
        let present = self.servers.iter();
        let present = present.map(|(ssid, server)| (*ssid, server.next_number()));
        left.next = former.chain(present).collect();
        left
    }

    /// A server took us with the account that it has now.
    pub(super) fn taken(&mut self, ssid: Ssid, tree: &mut Tree, now: Now) {
        let Some(records) = self.accounts.confirm(ssid) else {
            return;
        };
        self.shared.out.commit_all(records);
        self.bootstrap.reset();
        self.discard_former();
        self.disinherit();
        if !self.disinherited.is_empty() {
            self.shared.news.push(News::Listed(ACCESS_CONTROL));
        }
        self.drop_orphans(tree, now);
        bootstrap::tell(BootstrapEvent::Confirmed(ssid), &mut self.shared);
    }

    /// Whether what made the bootstrap due is still so, before another attempt.
    fn is_bootstrap_wanted(&self) -> bool {
        let is_registered = |ssid: &Ssid| {
            let server = self.servers.get(ssid);
            server.is_some_and(|server| server.is_registered())
        };
        match self.bootstrap.cause() {
            None => false,
            Some(Cause::NoServer) => self.servers.is_empty(),
            Some(Cause::Registration(ssid)) => !is_registered(&ssid),
            Some(Cause::Requested) => {
                !self.bootstrap.is_exhausted() || !self.servers.keys().any(is_registered)
            }
        }
    }

    fn roll_back(&mut self, tree: &mut Tree, now: Now) {
        let Some(fallback) = self.accounts.roll_back() else {
            return;
        };
        self.bootstrap.stop(&mut self.shared, now);
        self.bootstrap.postpone(now);
        bootstrap::tell(BootstrapEvent::RolledBack, &mut self.shared);
        self.leave_servers(&fallback.awaited, tree, now);
        let mut turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        turn.bring_back(&fallback);
        self.join_servers(&fallback.records, tree, now);
        self.discard_former();
        if self.servers.is_empty() {
            self.want_bootstrap(Cause::NoServer, now);
        }
    }

    /// Leaves the servers that there are not to be any more, and those that were `written`: they
    /// register anew, as what they know of this box may be as different as what it knows of them. The
    /// others stay as they are, and whoever has asked for silence has it. // design, 6: suspension
    fn leave_servers(&mut self, written: &[Ssid], tree: &mut Tree, now: Now) {
        let wanted = self.accounts.wanted();
        let is_on_trial = self.accounts.fallback().is_some();
        let present: Vec<Ssid> = self.servers.keys().copied().collect();
        for ssid in present {
            let after = wanted.iter().find(|one| one.config.ssid == ssid);
            if after.is_some() && !written.contains(&ssid) {
                continue;
            }
            let is_another = after.is_some_and(|after| {
                let server = self.servers.get(&ssid);
                server.is_some_and(|server| after.is_foreign(server.config()))
            });
            let comes_back =
                self.former.contains_key(&ssid) || self.accounts.parted(ssid).is_some();
            let is_over = after.is_none() && !is_on_trial;
            let is_final = (is_over || is_another) && !comes_back;
            self.remove_server(ssid, is_final, tree, now);
        }
    }

    /// Makes the servers that there are to be now, as far as they are not there.
    fn join_servers(&mut self, saved: &[Record], tree: &mut Tree, now: Now) {
        for one in self.accounts.wanted() {
            let ssid = one.config.ssid;
            if self.servers.contains_key(&ssid) {
                self.shared.core.access.grant(ssid, one.config.rights);
            } else {
                self.add_server(one, saved, now);
            }
        }
        for resource in self
            .shared
            .core
            .set_bootstrapped(self.accounts.bootstrapped())
        {
            let news = News::Sampled(gateway_resource(resource), None);
            self.shared.news.push(news);
        }
        for record in saved {
            if let Record::Attributes(..) | Record::Reading(..) = record {
                self.restore(record.clone(), now);
            }
        }
        self.shared
            .core
            .set_bootstrap(self.accounts.bootstrap().is_some());
        self.disinherit();
        self.drop_orphans(tree, now);
        self.accounts_changed = true;
        self.start(now);
    }
}
