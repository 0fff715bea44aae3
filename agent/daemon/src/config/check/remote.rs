//! `adapter = "remote"`: what a program may serve, and who may run it.

use std::time::Duration;

use lamplighter_adapters::remote::RemoteLimits;
use lamplighter_model::{Path, ResourceAddress, device::AdapterId};
use lamplighter_site::boundary::{BootState, PointConfig};

use super::{
    Checker, below,
    device::CheckedDevice,
    key,
    point::{Carries, Common, Writable, is_own},
};
use crate::config::{
    checked::{DeviceKind, Remote, RemotePoint},
    layer::Key,
    schema,
};

impl Checker<'_> {
    pub(super) fn remote(
        &mut self,
        at: &Key,
        id: AdapterId,
        device: &schema::RemoteDevice,
    ) -> (Remote, Vec<PointConfig>) {
        let (mut points, mut configs) = (Vec::new(), Vec::new());
        for (name, point) in &device.point {
            let at = below(&below(at, "point"), name);
            let common = Common {
                resource: point.resource.as_ref(),
                instance: point.instance.as_ref(),
                unit: point.unit.as_ref(),
                limit: point.limit.as_ref(),
                guard: point.guard.as_ref(),
                fail_safe: point.fail_safe.as_ref(),
                min_switch_s: point.min_switch_s,
                power_return_spread_s: point.power_return_spread_s,
                dims: false,
                boot: BootState::Adopt,
            };
            let writable = match point.writable {
                None => Writable::AsDefined,
                Some(true) => Writable::Yes,
                Some(false) => Writable::No,
            };
            let Some((point, config)) = self
                .point(&at, id, common, Carries::Anything, writable)
                .map(|(checked, config)| {
                    let ask = point.ask.unwrap_or(false);
                    let point = RemotePoint {
                        point: checked,
                        ask,
                    };
                    (point, config)
                })
            else {
                continue;
            };
            points.push(point);
            configs.push(config);
        }
        for (name, named) in [("user", &device.user), ("group", &device.group)] {
            if named.as_ref().is_some_and(String::is_empty) {
                let hint = "leave it out where only those who may control the agent shall";
                self.error(&below(at, name), "it names nobody", hint);
            }
        }
        let remote = Remote {
            user: device.user.clone(),
            group: device.group.clone(),
            grants: self.granted(at, &device.objects),
            taken: Default::default(),
            limits: self.remote_limits(at, device),
            points,
        };
        (remote, configs)
    }

    fn remote_limits(&mut self, at: &Key, device: &schema::RemoteDevice) -> RemoteLimits {
        let answer = device.answer_ms.unwrap_or(3000);
        let answer = self.within(&below(at, "answer_ms"), answer, 100, 3400);
        let silence = device.silence_s.unwrap_or(30);
        let silence = self.within(&below(at, "silence_s"), silence, 5, 3600);
        let samples = device.samples_per_s.unwrap_or(1000);
        let resources = device.resources.unwrap_or(256);
        let resources = self.within(&below(at, "resources"), resources, 1, 4096);
        RemoteLimits {
            answer: Duration::from_millis(answer),
            silence: Duration::from_secs(silence),
            samples_per_s: self.within(&below(at, "samples_per_s"), samples, 1, 100_000),
            resources: usize::try_from(resources).unwrap_or(usize::MAX),
            stale_after: self.stale_after(at, device.stale_after_s),
        }
    }

    fn granted(&mut self, device: &Key, objects: &[String]) -> Vec<Path> {
        let at = below(device, "objects");
        let mut grants = Vec::new();
        for text in objects {
            let Ok(path) = text.parse::<Path>() else {
                let what = format!("`{text}` is not a path");
                self.error(&at, what, "for example \"/3303\" or \"/3303/7\"");
                continue;
            };
            let (Some(object), true) = (path.object(), !matches!(path, Path::ResourceInstance(..)))
            else {
                let what = format!("`{text}` is no object, instance or resource");
                self.error(&at, what, "for example \"/3303\" or \"/3303/7\"");
                continue;
            };
            if is_own(object, self.vendor_object_base) {
                let what = format!("object {object} belongs to the agent itself");
                self.error(&at, what, "");
            } else if self.surroundings.definitions.object(object).is_none() {
                let what = format!("no definition of object {object} is known");
                self.error(&at, what, "put its OMA XML into objects/");
            } else {
                grants.push(path);
            }
        }
        grants
    }

    /// What is granted to one program is granted to no other, and what the configuration gives to
    /// another device is not granted at all.
    pub(super) fn grants_of_programs(&mut self, devices: &mut [CheckedDevice]) {
        let mut all: Vec<(String, Path)> = Vec::new();
        for checked in devices {
            let name = checked.device.name.clone();
            let DeviceKind::Remote(remote) = &mut checked.device.kind else {
                continue;
            };
            for grant in &remote.grants {
                let overlaps =
                    |(_, other): &&(String, Path)| grant.contains(*other) || other.contains(*grant);
                if let Some((other, path)) = all.iter().find(overlaps) {
                    let what = format!("{grant} is also granted to [device.{other}], as {path}");
                    let at = key(&["device", &name, "objects"]);
                    self.error(&at, what, "every resource has one owner");
                }
            }
            let grants = remote.grants.iter();
            all.extend(grants.map(|grant| (name.clone(), *grant)));
            let is_other = |(address, owner): &(&ResourceAddress, &Key)| {
                let path = Path::Resource(address.path);
                owner.get(1) != Some(&name) && remote.grants.iter().any(|it| it.contains(path))
            };
            let taken = self.owners.iter().filter(is_other);
            remote.taken = taken.map(|(address, _)| *address).collect();
        }
    }
}
