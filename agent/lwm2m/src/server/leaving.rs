//! What is kept of a server, in case that it goes.

use lamplighter_model::{Address, Now, Path};

use super::Server;
use crate::{
    object::CoreObjects,
    saved::{Record, SavedRegistration},
};

impl Server {
    /// What brings it back as it stands, once there is its account again. It will have been left by
    /// then: of the registration only a silence that it has asked for counts.
    pub(crate) fn kept(&self, core: &CoreObjects, now: Now) -> Vec<Record> {
        let ssid = self.config.ssid;
        let account = core.account_of(ssid);
        let account = account.map(|(_, account)| Record::Account(ssid, Some(account.saved())));
        let registration = match &self.saved {
            Some(saved @ SavedRegistration::Disabled { .. }) => saved.clone(),
            Some(SavedRegistration::None { .. } | SavedRegistration::Registered { .. }) | None => {
                self.registration.left_behind(now)
            }
        };
        let registration = Record::Registration(ssid, Some(registration));
        let reading = self.saved_reading();
        let reading = reading.map(|reading| Record::Reading(ssid, Some(reading)));
        let mut kept: Vec<Record> = account.into_iter().chain([registration]).collect();
        kept.extend(reading);
        kept.extend(self.kept_attributes(Path::Root));
        kept
    }

    /// The attributes that it has attached below a path.
    pub(crate) fn kept_attributes(&self, below: Path) -> Vec<Record> {
        let attached = self.attached(below).filter_map(|address| {
            let attributes = self.attributes.at(address)?;
            let path = self.view.wire(address).to_string();
            Some(Record::Attributes(self.config.ssid, path, Some(attributes)))
        });
        attached.collect()
    }

    /// What removes all that is kept of it.
    pub(crate) fn removals(&self) -> Vec<Record> {
        let ssid = self.config.ssid;
        let observations = self.observations.tokens();
        let observations =
            observations.map(|token| Record::Observation(ssid, token.as_bytes().to_vec(), None));
        let attributes = self.attached(Path::Root);
        let attributes = attributes
            .map(|address| Record::Attributes(ssid, self.view.wire(address).to_string(), None));
        [
            Record::Account(ssid, None),
            Record::Reading(ssid, None),
            Record::Registration(ssid, None),
            Record::Session(ssid, None),
        ]
        .into_iter()
        .chain(observations)
        .chain(attributes)
        .collect()
    }

    fn attached(&self, below: Path) -> impl Iterator<Item = Address> {
        let scopes = self.view.scopes().into_iter();
        scopes.flat_map(move |scope| self.attributes.below(Address { scope, path: below }))
    }
}
