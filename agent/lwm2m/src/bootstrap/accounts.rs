//! Which accounts there are, and whose: those of the configuration, and those that a bootstrap server
//! has given, which win.

use std::{collections::BTreeMap, time::Duration};

use lamplighter_model::{Now, ObjectInstanceId, Ssid};

use super::draft::{Draft, Security, ServerDraft};
use crate::{
    access::Grants,
    config::{BootstrapConfig, RegistrationConfig, ServerConfig},
    object::{Account, CoreObjects},
    saved::{GivenAccount, GivenBootstrap, Moment, Record, SavedFallback, SavedGiven, SavedTime},
    security::{SecurityAccount, SecurityMode},
    server::ServerUri,
};

/// All accounts of one client.
#[derive(Debug)]
pub(crate) struct Accounts {
    /// Of the configuration.
    bootstrap: Option<BootstrapConfig>,
    /// Of the configuration.
    servers: BTreeMap<Ssid, ServerConfig>,
    given: Option<SavedGiven>,
    /// What comes back unless a server takes us.
    fallback: Option<Trial>,
}

/// What is on trial.
#[derive(Debug)]
struct Trial {
    due: Duration,
    fallback: SavedFallback,
    /// When it is saved next how much of the time is over.
    note_at: Duration,
}

/// An account as the client is to use it.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) config: ServerConfig,
    /// Where a bootstrap server gave it.
    pub(crate) given: Option<(ObjectInstanceId, Account)>,
}

/// How often it is saved how much of the time on trial is over, at most, and how seldom.
const NOTES: u32 = 30;
const MIN_STEP: Duration = Duration::from_secs(60);

impl Accounts {
    pub(crate) fn new(
        bootstrap: Option<BootstrapConfig>,
        servers: Vec<ServerConfig>,
        saved: &[Record],
        now: Now,
    ) -> Self {
        let servers = servers.into_iter().map(|server| (server.ssid, server));
        let mut accounts = Self {
            bootstrap,
            servers: servers.collect(),
            given: None,
            fallback: None,
        };
        for record in saved {
            if let Record::Given(given) = record {
                accounts.given = given.as_deref().cloned();
            }
        }
        for record in saved {
            if let Record::Fallback(Some(fallback)) = record {
                let time = saved.iter().find_map(|record| {
                    let Record::FallbackTime(time) = record else {
                        return None;
                    };
                    *time
                });
                accounts.hold_on(fallback.as_ref().clone(), time, now);
            }
        }
        accounts
    }

    /// Those to be registered with.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let given = self.given_servers().iter();
        let given = given.filter_map(|given| self.given(given));
        let own = self.configured().map(|config| Wanted {
            config: config.clone(),
            given: None,
        });
        let mut wanted: Vec<Wanted> = given.chain(own).collect();
        let owner = self.given.as_ref().and_then(|given| given.owner);
        if let Some(owner) = owner
            && !wanted.iter().any(Wanted::is_granted)
        {
            let owner = wanted.iter_mut().find(|one| one.config.ssid == owner);
            owner
                .into_iter()
                .for_each(|one| one.config.rights.owner = true);
        }
        wanted
    }

    /// Whether the configuration says what a server may do.
    pub(super) fn is_granted(&self, ssid: Ssid) -> bool {
        let own = self.servers.get(&ssid);
        own.is_some_and(|own| own.rights != Grants::default())
    }

    /// Who may do everything now because nobody else is there, or was when others came; and where it
    /// is.
    pub(super) fn former_owner(&self) -> Option<(Ssid, ServerUri)> {
        let owner = self.given.as_ref().and_then(|given| given.owner);
        let wanted = self.wanted();
        let found = match (owner, wanted.as_slice()) {
            (Some(owner), all) => all.iter().find(|one| one.config.ssid == owner)?,
            (None, [sole]) => sole,
            (None, _) => return None,
        };
        Some((found.config.ssid, found.config.uri.clone()))
    }

    /// The account of the bootstrap server, and its instance of object 0.
    pub(crate) fn bootstrap(&self) -> Option<(ObjectInstanceId, &SecurityAccount)> {
        match self.given.as_ref().map(|given| &given.bootstrap) {
            Some(GivenBootstrap::Given { instance, account }) => {
                Some((ObjectInstanceId(*instance), account))
            }
            Some(GivenBootstrap::Gone { of }) => {
                // One that people have changed since is another.
                let own = self.bootstrap.as_ref()?;
                (own.security.fingerprint() != *of).then(|| (self.free_for_own(), &own.security))
            }
            Some(GivenBootstrap::Configured) | None => {
                let own = self.bootstrap.as_ref()?;
                Some((self.free_for_own(), &own.security))
            }
        }
    }

    /// How a bootstrap server is dealt with, whoever gave its account.
    pub(crate) fn terms(&self) -> BootstrapConfig {
        let own = self.bootstrap.clone();
        own.unwrap_or_else(|| BootstrapConfig {
            allow_unsecured: false,
            ..BootstrapConfig::new(SecurityAccount::default())
        })
    }

    /// Whether a bootstrap server has given, or taken away, an account.
    pub(crate) fn owns(&self, ssid: Ssid) -> bool {
        let given = self.given.as_ref();
        given.is_some_and(|given| {
            given.removed.contains(&ssid) || given.servers.iter().any(|one| one.ssid == ssid)
        })
    }

    /// An account of the configuration came or went. False where a bootstrap server has decided.
    pub(crate) fn configure(&mut self, ssid: Ssid, config: Option<ServerConfig>) -> bool {
        match config {
            Some(config) => drop(self.servers.insert(ssid, config)),
            None => drop(self.servers.remove(&ssid)),
        }
        !self.owns(ssid)
    }

    /// What a bootstrap server begins with.
    pub(super) fn draft(&self, core: &CoreObjects) -> Draft {
        let all = (0..=super::draft::ALL_SECURITY).collect();
        let security = |account: &SecurityAccount| Security {
            account: account.clone(),
            is_written: false,
            named: std::collections::BTreeSet::clone(&all),
        };
        let mut accounts = BTreeMap::new();
        let own = self.bootstrap().map(|(instance, account)| {
            accounts.insert(instance, security(account));
            instance
        });
        for given in self.given_servers() {
            let (instance, account) = &given.security;
            accounts.insert(ObjectInstanceId(*instance), security(account));
        }
        for config in self.configured() {
            let taken = |id: &ObjectInstanceId| accounts.contains_key(id);
            let free = (1..u16::MAX).map(ObjectInstanceId).find(|id| !taken(id));
            accounts.extend(free.map(|free| (free, security(&config.security))));
        }
        let servers = core.accounts().map(|(instance, ssid, account)| {
            let server = ServerDraft {
                held: account.held(ssid),
                is_written: false,
            };
            (instance, server)
        });
        Draft {
            access: super::draft::Access::default(),
            device: Vec::new(),
            own,
            security: accounts,
            servers: servers.collect(),
            stored: BTreeMap::new(),
        }
    }

    pub(crate) const fn given_record(&self) -> Option<&SavedGiven> {
        self.given.as_ref()
    }

    /// 1/x/12, which is about this box: when a bootstrap server has finished last.
    pub(crate) fn bootstrapped(&self) -> Option<i64> {
        let at = self.given.as_ref().and_then(|given| given.at);
        at.and_then(Moment::seconds)
    }

    pub(crate) fn set_given(&mut self, given: Option<SavedGiven>) {
        self.given = given;
    }

    /// Names of the configuration for accounts that a bootstrap server has replaced or removed.
    pub(crate) fn overruled(&self) -> Vec<String> {
        let servers = self.servers.values();
        let overruled = servers.filter(|server| self.owns(server.ssid));
        overruled.map(|server| server.name.clone()).collect()
    }

    /// Names of accounts without security that a bootstrap server has given.
    pub(crate) fn given_unsecured(&self) -> Vec<String> {
        let own = self.given.as_ref().map(|given| &given.bootstrap);
        let own = own.and_then(|own| match own {
            GivenBootstrap::Given { account, .. } => Some((account.mode, "bootstrap".to_owned())),
            GivenBootstrap::Configured | GivenBootstrap::Gone { .. } => None,
        });
        let servers = self.given_servers().iter();
        let servers = servers.filter_map(|given| self.given(given));
        let servers = servers.map(|one| (one.config.security.mode, one.config.name));
        let unsecured = |(mode, name)| (mode == SecurityMode::NoSec).then_some(name);
        servers.chain(own).filter_map(unsecured).collect()
    }

    pub(super) fn configured_ids(&self) -> impl Iterator<Item = Ssid> {
        self.servers.keys().copied()
    }

    pub(crate) const fn fallback(&self) -> Option<&SavedFallback> {
        match &self.fallback {
            Some(trial) => Some(&trial.fallback),
            None => None,
        }
    }

    /// Where a short id means another server than before, the number from which on what is stored
    /// under it is for that.
    pub(crate) fn parted(&self, ssid: Ssid) -> Option<u64> {
        let parted = &self.fallback()?.parted;
        let of = parted.iter().find(|(of, _)| *of == ssid);
        of.map(|(_, from)| *from)
    }

    /// The number before which nothing that is stored under the id of a server is for it.
    pub(crate) fn stored_from(&self, ssid: Ssid) -> u64 {
        let mut given = self.given_servers().iter();
        let given = given.find(|given| given.ssid == ssid);
        given.map_or(0, |given| given.from)
    }

    /// Accounts of the configuration that a bootstrap server has taken away.
    pub(crate) fn removed(&self) -> Vec<Ssid> {
        let given = self.given.as_ref();
        given.map_or_else(Vec::new, |given| given.removed.clone())
    }

    /// The same, had a bootstrap server given this.
    pub(super) fn with_given(&self, given: Option<SavedGiven>) -> Self {
        Self {
            bootstrap: self.bootstrap.clone(),
            servers: self.servers.clone(),
            given,
            fallback: None,
        }
    }

    /// Holds what comes back; the time begins.
    pub(crate) fn hold(&mut self, fallback: SavedFallback, now: Now) {
        self.fallback = Some(Trial {
            due: now.mono + self.rollback(),
            fallback,
            note_at: now.mono + self.step(),
        });
    }

    /// After a start: for what is left of the time. A pause whose length no clock can tell counts as a
    /// step, so that a box that starts again and again comes to the end as well.
    fn hold_on(&mut self, fallback: SavedFallback, time: Option<SavedTime>, now: Now) {
        let time = time.unwrap_or(SavedTime {
            at: fallback.began,
            used: Duration::ZERO,
        });
        let step = self.step();
        let elapsed = time.at.elapsed(now);
        let used = time.used + elapsed.unwrap_or(step);
        self.fallback = Some(Trial {
            due: now.mono + self.rollback().saturating_sub(used),
            fallback,
            note_at: now.mono + elapsed.map_or(Duration::ZERO, |_| step),
        });
    }

    /// How much of the time is over, when that is to be saved. Seldom, as it only matters where the
    /// date is unknown after a restart.
    pub(crate) fn poll_time(&mut self, now: Now) -> Option<Record> {
        // Asked at every turn.
        if self.fallback.as_ref()?.note_at > now.mono {
            return None;
        }
        let (rollback, step) = (self.rollback(), self.step());
        let trial = self.fallback.as_mut()?;
        trial.note_at = now.mono + step;
        let left = trial.due.saturating_sub(now.mono);
        Some(Record::FallbackTime(Some(SavedTime {
            at: Moment::of(now),
            used: rollback.saturating_sub(left),
        })))
    }

    /// When [`Self::poll_time`] has something to save.
    pub(crate) fn time_at(&self) -> Option<Duration> {
        self.fallback.as_ref().map(|trial| trial.note_at)
    }

    fn step(&self) -> Duration {
        (self.rollback() / NOTES).max(MIN_STEP)
    }

    fn rollback(&self) -> Duration {
        let own = self.bootstrap.as_ref();
        own.map_or(BootstrapConfig::ROLLBACK, |own| own.rollback)
    }

    pub(crate) fn take_fallback(&mut self) -> Option<SavedFallback> {
        self.fallback.take().map(|trial| trial.fallback)
    }

    /// When what was before comes back.
    pub(crate) fn rollback_at(&self) -> Option<Duration> {
        self.fallback.as_ref().map(|trial| trial.due)
    }

    /// When the account of the bootstrap server ends (0/x/12); not while what it gave is on trial.
    pub(crate) fn purge_at(&self, now: Now) -> Option<Duration> {
        let (_, account) = self.bootstrap()?;
        let given = self.given.as_ref()?;
        // One that people have put in the place of one that had its time begins anew.
        if matches!(given.bootstrap, GivenBootstrap::Gone { .. }) {
            return None;
        }
        let from = given.at?;
        let lasts = u64::from(account.account_timeout_s);
        if lasts == 0 || self.fallback.is_some() {
            return None;
        }
        let elapsed = from.elapsed(now).unwrap_or_default();
        Some(now.mono + Duration::from_secs(lasts).saturating_sub(elapsed))
    }

    /// Removes the account of the bootstrap server; what is to be kept.
    pub(crate) fn purge(&mut self) -> Option<Record> {
        let of = self.bootstrap.as_ref();
        let of = of.map_or(0, |own| own.security.fingerprint());
        let given = self.given.as_mut()?;
        given.bootstrap = GivenBootstrap::Gone { of };
        Some(Record::Given(Some(Box::new(given.clone()))))
    }

    pub(super) fn gone(&self) -> GivenBootstrap {
        let own = self.bootstrap.as_ref();
        let of = own.map_or(0, |own| own.security.fingerprint());
        GivenBootstrap::Gone { of }
    }

    fn given_servers(&self) -> &[GivenAccount] {
        self.given.as_ref().map_or(&[], |given| &given.servers)
    }

    /// Of the configuration, without those about which a bootstrap server has decided.
    fn configured(&self) -> impl Iterator<Item = &ServerConfig> {
        self.servers
            .values()
            .filter(|config| !self.owns(config.ssid))
    }

    /// `None` where what was kept cannot be used by this version.
    fn given(&self, given: &GivenAccount) -> Option<Wanted> {
        let security = self.trusting(&given.security.1);
        let (instance, saved) = &given.server;
        let Ok(uri) = security.check() else {
            tracing::error!(ssid = %given.ssid, "An account that a bootstrap server gave cannot be used");
            return None;
        };
        let config = self.local(given.ssid, &security, uri);
        let mut account = Account::new(&config);
        for (resource, content) in &saved.resources {
            // What was checked before it was kept.
            if account.give(*resource, content).is_err() {
                tracing::warn!(ssid = %given.ssid, %resource, "A saved value of an account cannot be used");
            }
        }
        Some(Wanted {
            config,
            given: Some((ObjectInstanceId(*instance), account)),
        })
    }

    /// Whom this box trusts is said by its configuration, not by a bootstrap server: by the table of
    /// the server, else by that of the bootstrap server, else by what it was.
    pub(super) fn trusting(&self, security: &SecurityAccount) -> SecurityAccount {
        let ssid = security.ssid.filter(|_| !security.is_bootstrap);
        let own = ssid.and_then(|ssid| self.servers.get(&ssid));
        let own = own.map(|own| &own.security);
        let Some(own) = own.or_else(|| self.bootstrap.as_ref().map(|own| &own.security)) else {
            return security.clone();
        };
        SecurityAccount {
            strict_time: own.strict_time,
            trust_store: own.trust_store.clone(),
            ..security.clone()
        }
    }

    /// What only this box can know of a server comes from the configuration where that has one of
    /// the same id.
    fn local(&self, ssid: Ssid, security: &SecurityAccount, uri: ServerUri) -> ServerConfig {
        let own = self.servers.get(&ssid).cloned();
        let own = own.unwrap_or_else(|| {
            let terms = self.terms();
            let mut server = ServerConfig::new(&format!("server-{ssid}"), ssid, uri.clone());
            server.limits = terms.limits;
            server.coap.max_body = terms.coap.max_body;
            server
        });
        ServerConfig {
            // Core 1.2, E.2: where 1/x/23 is absent nothing is sent unasked.
            mute_send: true,
            registration: RegistrationConfig {
                return_spread: own.registration.return_spread,
                ..RegistrationConfig::default()
            },
            security: security.clone(),
            uri,
            ..own
        }
    }

    /// The lowest instance that no server has.
    fn free_for_own(&self) -> ObjectInstanceId {
        let taken = |id: u16| self.given_servers().iter().any(|one| one.security.0 == id);
        ObjectInstanceId((0..u16::MAX).find(|id| !taken(*id)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
