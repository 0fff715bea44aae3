//! Who is logged in to the page. In memory only: a new start of the agent logs everybody out.

use std::{io, time::Duration};

use super::secret::Secret;

const MAX_SESSIONS: usize = 64;
const MAX_LINKS: usize = 8;
/// Without a call for so long, a session ends.
const IDLE: Duration = Duration::from_secs(12 * 3600);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Vec<Session>,
    /// One-time links that nobody has used yet.
    links: Vec<Secret>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// In the cookie.
    pub(super) id: Secret,
    /// In a header of every call that changes something; a foreign page cannot know it.
    pub(super) csrf: Secret,
    opened: Duration,
    used: Duration,
}

impl Sessions {
    /// The session that used the page longest ago makes room where there are too many.
    pub(super) fn open(&mut self, now: Duration) -> io::Result<Session> {
        let session = Session {
            id: Secret::random()?,
            csrf: Secret::random()?,
            opened: now,
            used: now,
        };
        self.open.retain(|session| session.is_alive(now));
        if self.open.len() >= MAX_SESSIONS {
            let oldest = self
                .open
                .iter()
                .enumerate()
                .min_by_key(|(_, session)| session.used);
            let oldest = oldest.map(|(position, _)| position);
            oldest.map(|position| self.open.swap_remove(position));
        }
        self.open.push(session);
        Ok(session)
    }

    /// The session of a cookie, which is thereby used.
    pub(super) fn of(&mut self, cookie: &str, now: Duration) -> Option<Session> {
        let session = self.open.iter_mut().find(|session| session.id.is(cookie))?;
        if !session.is_alive(now) {
            return None;
        }
        session.used = now;
        Some(*session)
    }

    /// Whether it is open, without using it.
    pub(super) fn is_open(&self, id: Secret, now: Duration) -> bool {
        let id = id.text();
        self.open
            .iter()
            .any(|session| session.id.is(&id) && session.is_alive(now))
    }

    pub(super) fn close(&mut self, id: Secret) {
        let id = id.text();
        self.open.retain(|session| !session.id.is(&id));
    }

    /// A token that logs in once.
    pub(super) fn add_link(&mut self) -> io::Result<Secret> {
        let link = Secret::random()?;
        if self.links.len() >= MAX_LINKS {
            self.links.remove(0);
        }
        self.links.push(link);
        Ok(link)
    }

    /// Whether this token logs in; it does so no second time.
    pub(super) fn use_link(&mut self, token: &str) -> bool {
        let found = self.links.iter().position(|link| link.is(token));
        found.map(|position| self.links.remove(position)).is_some()
    }
}

impl Session {
    fn is_alive(&self, now: Duration) -> bool {
        now.saturating_sub(self.used) < IDLE && now.saturating_sub(self.opened) < LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_session_lives_while_it_is_used_and_a_week_at_most() {
        let mut sessions = Sessions::default();
        let id = sessions.open(Duration::ZERO).unwrap().id.text();
        for hours in (0..168).step_by(8) {
            assert!(sessions.of(&id, HOUR * hours).is_some(), "{hours}");
        }
        assert!(sessions.of(&id, HOUR * 168).is_none());
        let idle = sessions.open(Duration::ZERO).unwrap().id.text();
        assert!(sessions.of(&idle, HOUR * 13).is_none());
        assert!(sessions.of("", HOUR).is_none());
    }

    #[test]
    fn the_least_used_session_makes_room() {
        let mut sessions = Sessions::default();
        let first = sessions.open(Duration::ZERO).unwrap().id;
        let second = sessions.open(Duration::ZERO).unwrap().id;
        sessions.of(&first.text(), HOUR);
        for _ in 2..=MAX_SESSIONS {
            sessions.open(HOUR).unwrap();
        }
        assert!(sessions.is_open(first, HOUR) && !sessions.is_open(second, HOUR));
        assert_eq!(sessions.open.len(), MAX_SESSIONS);
    }

    #[test]
    fn a_link_works_once() {
        let mut sessions = Sessions::default();
        let token = sessions.add_link().unwrap().text();
        assert!(!sessions.use_link("other"));
        assert!(sessions.use_link(&token));
        assert!(!sessions.use_link(&token));
    }
}
