//! Operations of people, and what devices say.

use std::collections::BTreeSet;

use lamplighter_model::{
    Address, InstanceAddress, Now, Sample, Scope,
    device::{Answer, DeviceEvent, Fault, OpId, Origin},
};

use super::Client;
use crate::{
    boundary::{LocalAnswer, LocalRequest, Output, RequestId},
    operation::{self, Caller},
    perform::{News, Reply, Turn, Wish},
    registration::Enabler,
    reject::Reject,
    tree::Tree,
    waiting::{Asker, Pending},
};

impl Client {
    pub(super) fn on_local(
        &mut self,
        id: RequestId,
        request: LocalRequest,
        tree: &mut Tree,
        now: Now,
    ) {
        let (operation, path) = operation::from_local(request.operation);
        let wish = Wish {
            address: Address {
                scope: Scope::Gateway,
                path,
            },
            asker: Asker::Local(id),
            caller: Caller {
                enabler: Enabler::V1_2,
                origin: Origin::Local(request.user),
            },
            operation,
        };
        let mut turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        let Some(result) = turn.begin(wish, None, "") else {
            return;
        };
        // A person is told of a Disable when it is kept.
        if turn.shared.has_disable() {
            let news = std::mem::take(&mut turn.shared.news);
            news.into_iter()
                .for_each(|news| self.spread(news, tree, now));
        }
        self.answer_local(id, result);
    }

    fn answer_local(&mut self, id: RequestId, result: Result<Reply, Reject>) {
        let answer = result.map(|reply| match reply {
            Reply::Attributes(_)
            | Reply::Composite(..)
            | Reply::Content(_)
            | Reply::Created(_)
            | Reply::Deleted
            | Reply::Done => LocalAnswer::Done,
            Reply::Links(links) => LocalAnswer::Links(links),
            Reply::Samples(samples) => LocalAnswer::Samples(samples),
        });
        self.shared.out.push(Output::Answer(id, answer));
    }

    pub(super) fn on_device(&mut self, event: DeviceEvent, tree: &mut Tree, now: Now) {
        match event {
            DeviceEvent::Changed(samples) => {
                for (round, samples) in rounds(&samples).into_iter().enumerate() {
                    if round > 0 {
                        self.settle(tree, now);
                    }
                    self.record(samples, tree);
                }
            }
            DeviceEvent::Declared(declared) => {
                for (address, why) in tree.declare(&declared) {
                    tracing::warn!(%address, %why, "A resource cannot be declared");
                }
                let added = declared.added.iter().map(|declaration| declaration.address);
                let mut instances: Vec<InstanceAddress> = added
                    .chain(declared.removed)
                    .map(|address| address.instance())
                    .collect();
                instances.sort_unstable();
                instances.dedup();
                let mut turn = Turn {
                    now,
                    shared: &mut self.shared,
                    tree,
                };
                for instance in instances {
                    for server in self.servers.values_mut() {
                        server.remove_stale_attributes(instance.into(), &mut turn);
                        server.object_changed(instance.into(), &turn);
                    }
                }
            }
            DeviceEvent::Done(op, result) => self.on_done(op, result, tree, now),
        }
    }

    fn record(&mut self, samples: &[Sample], tree: &mut Tree) {
        let dropped = tree.record(samples);
        if dropped > 0 {
            tracing::debug!(dropped, "Samples of unknown resources or of the wrong type");
        }
        let sampled = samples
            .iter()
            .map(|sample| News::Sampled(sample.address, sample.index));
        self.shared.news.extend(sampled);
    }

    fn on_done(&mut self, op: OpId, result: Result<Answer, Fault>, tree: &mut Tree, now: Now) {
        if let Ok(answer) = &result {
            tree.record(&answer.samples);
            self.shared.news.extend(
                answer
                    .samples
                    .iter()
                    .map(|sample| News::Sampled(sample.address, sample.index)),
            );
        }
        if let Some(pending) = self
            .shared
            .waiting
            .done(op, result.as_ref().map_err(Clone::clone))
        {
            self.conclude(&pending, tree, now);
        }
    }

    pub(super) fn conclude(&mut self, pending: &Pending, tree: &mut Tree, now: Now) {
        let mut turn = Turn {
            now,
            shared: &mut self.shared,
            tree,
        };
        let result = turn.conclude(pending);
        match &pending.asker {
            Asker::Local(id) => self.answer_local(*id, result),
            asker @ Asker::Server { ssid, .. } => {
                if let Some(server) = self.servers.get_mut(ssid) {
                    server.answer(asker, (pending.address, result), &mut turn);
                }
            }
        }
    }
}

/// Parts of a batch in which every resource instance stands once: a device may tell several values
/// of one at a time, and none of them is to be overlooked.
fn rounds(samples: &[Sample]) -> Vec<&[Sample]> {
    let mut rounds = Vec::new();
    let (mut begin, mut seen) = (0, BTreeSet::new());
    for (at, sample) in samples.iter().enumerate() {
        if !seen.insert((sample.address, sample.index)) {
            rounds.extend(samples.get(begin..at));
            begin = at;
            seen = BTreeSet::from([(sample.address, sample.index)]);
        }
    }
    rounds.extend(samples.get(begin..));
    rounds
}
