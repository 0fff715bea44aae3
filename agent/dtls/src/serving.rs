//! The server's half of an association, as the engine asks for it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::security::Secret;

/// What all associations of one server share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    keys: BTreeMap<Vec<u8>, Secret>,
    sessions: BTreeMap<Vec<u8>, Kept>,
    order: VecDeque<Vec<u8>>,
}

#[derive(Debug)]
struct Kept {
    identity: Option<Vec<u8>>,
    session: Zeroizing<Vec<u8>>,
}

/// One association's view.
#[derive(Debug)]
pub(crate) struct Side {
    cookie_key: [u8; 32],
    /// Who the client has shown to be.
    pub(crate) identity: Option<Vec<u8>>,
    shared: Arc<Mutex<Shared>>,
}

pub(crate) const COOKIE: usize = 16;

/// Sessions that can be resumed.
const MAX_SESSIONS: usize = 4096;

impl Shared {
    pub(crate) fn admit(&mut self, identity: &[u8], key: Secret) {
        self.keys.insert(identity.to_vec(), key);
    }

    pub(crate) fn forget_sessions(&mut self) {
        self.sessions.clear();
        self.order.clear();
    }
}

impl Side {
    pub(crate) fn new(shared: Arc<Mutex<Shared>>, cookie_key: [u8; 32]) -> Self {
        Self {
            cookie_key,
            identity: None,
            shared,
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn key_of(&mut self, identity: &[u8]) -> Option<Secret> {
        let key = self.shared().keys.get(identity).cloned()?;
        self.identity = Some(identity.to_vec());
        Some(key)
    }

    pub(crate) fn recall(&mut self, id: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (identity, session) = {
            let shared = self.shared();
            let kept = shared.sessions.get(id)?;
            (kept.identity.clone(), kept.session.clone())
        };
        self.identity = identity;
        Some(session)
    }

    pub(crate) fn keep(&self, id: &[u8], session: Zeroizing<Vec<u8>>) {
        let identity = self.identity.clone();
        let mut shared = self.shared();
        let kept = Kept { identity, session };
        if shared.sessions.insert(id.to_vec(), kept).is_none() {
            shared.order.push_back(id.to_vec());
        }
        if shared.order.len() > MAX_SESSIONS
            && let Some(oldest) = shared.order.pop_front()
        {
            shared.sessions.remove(&oldest);
        }
    }

    /// Bound to the address, as RFC 6347, 4.2.1 asks.
    pub(crate) fn cookie(&self, address: &[u8]) -> [u8; COOKIE] {
        let hash = Sha256::new_with_prefix(self.cookie_key)
            .chain_update(address)
            .finalize();
        let mut cookie = [0; COOKIE];
        cookie.copy_from_slice(&hash[..COOKIE]);
        cookie
    }
}
