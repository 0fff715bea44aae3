//! Takes up what was saved before a restart.

use lamplighter_coap::Token;
use lamplighter_model::{Address, Path, Scope};

use super::{Server, reporting::MAX_ORPHANED};
use crate::{
    format::ContentFormat,
    observe::{Attributes, Subscription, Targets},
    perform::Turn,
    saved::SavedObservation,
};

impl Server {
    pub(crate) fn restore_attributes(&mut self, path: &str, attributes: Attributes) {
        if let Some(address) = self.saved_address(path) {
            self.attributes.restore(address, attributes);
        }
    }

    /// Whether the observation could be taken up.
    pub(crate) fn restore_observation(
        &mut self,
        token: &[u8],
        saved: &SavedObservation,
        turn: &Turn<'_>,
    ) {
        let targets = match &saved.composite {
            None => self.saved_address(&saved.path).map(Targets::Single),
            Some(paths) => {
                let targets = paths.iter().map(|path| self.saved_address(path));
                targets.collect::<Option<_>>().map(Targets::Composite)
            }
        };
        let (Some(token), Some(format), Some(targets)) = (
            Token::new(token),
            ContentFormat::from_number(saved.format),
            targets,
        ) else {
            tracing::warn!(path = saved.path, "A saved observation cannot be read");
            return;
        };
        let subscription = Subscription {
            attributes: saved.attributes,
            format,
            number: saved.format,
            targets,
        };
        let rules = Self::rules(&self.attributes, self.config.ssid, turn);
        self.observations.restore(token, subscription, rules);
        if saved.is_orphan {
            self.observations.orphan(token);
            let lasts = self.registration.lifetime().min(MAX_ORPHANED);
            self.orphans_until = Some(turn.now.mono + lasts);
        }
    }

    /// Saved paths are as the server wrote them.
    pub(super) fn saved_address(&self, path: &str) -> Option<Address> {
        let path: Path = path.parse().ok()?;
        match self.view {
            crate::view::View::Flat => Some(Address {
                scope: Scope::Gateway,
                path,
            }),
        }
    }
}
