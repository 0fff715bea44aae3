//! Carries out operations: asks devices, applies what was checked, makes the answer. The same for
//! servers and for people at the box.

use std::time::Duration;

use lamplighter_coap::Code;
use lamplighter_model::{
    Address, InstancePath, Now, ObjectId, Path, Quality, ResourceAddress, ResourceInstanceId,
    Sample, Ssid,
    device::{Action, DeviceRequest, Fault},
};

use crate::{
    boundary::{CommitId, Event, LinkId, Output},
    catalogue::Catalogue,
    client::Tellings,
    config::Creation,
    confirm::Trials,
    date::Dates,
    format::{Content, Node},
    object::{self, CoreObjects, Effect},
    observe::{Attribute, AttributeStore},
    operation::{self, Caller, Context, Edit, Operation, Plan, Then},
    reject::Reject,
    saved::Record,
    tree::{Owner, Tree},
    waiting::{Asker, Pending, Waiting},
};

mod commit;

/// What all servers of a client share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) core: CoreObjects,
    pub(crate) creation: Creation,
    pub(crate) dates: Dates,
    pub(crate) endpoint: String,
    /// Tells this machine from others.
    pub(crate) hardware: Vec<u8>,
    /// A bootstrap server is writing: what others want has to wait.
    pub(crate) is_bootstrapped: bool,
    /// Only what is urgent may leave.
    pub(crate) is_urgent_only: bool,
    /// What happened in this turn and concerns others than the one who did it.
    pub(crate) news: Vec<News>,
    next_link: u64,
    pub(crate) out: Outputs,
    /// Sends that people wait for.
    pub(crate) tellings: Tellings,
    pub(crate) trials: Trials,
    pub(crate) waiting: Waiting,
}

/// Something that servers have to learn at the end of the turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum News {
    /// A server's instance of object 1 was written.
    Account(Ssid),
    Effect(Effect),
    /// A server has answered what was sent to it then.
    Reached(Duration),
    /// A server cannot be registered with.
    GaveUp(Ssid),
    /// Instances of an object came or went.
    Listed(ObjectId),
    /// What servers attached below it is gone.
    Removed(Path),
    Sampled(ResourceAddress, Option<ResourceInstanceId>),
    /// We are registered with a server: since now, or still, as it has just said.
    Taken(Ssid),
    /// A change is on trial: servers are asked whether they can be reached still.
    Tried,
}

/// Outputs in their order; those behind a commit wait until it is durable.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    behind: Option<CommitId>,
    next_commit: u64,
    queue: std::collections::VecDeque<Output>,
}

/// What one input may look at and change.
pub(crate) struct Turn<'a> {
    pub(crate) now: Now,
    pub(crate) shared: &'a mut Shared,
    pub(crate) tree: &'a mut Tree,
}

/// An operation and who wants it.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) address: Address,
    pub(crate) asker: Asker,
    pub(crate) caller: Caller,
    pub(crate) operation: Operation,
}

/// The answer to an operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    /// For the server's own store of attributes.
    Attributes(Vec<Attribute>),
    /// What the paths of a composite hold.
    Composite(Vec<Address>, Vec<Node>),
    Content(Vec<Node>),
    /// The first instance that was made.
    Created(InstancePath),
    Deleted,
    Done,
    Links(String),
    /// For people, who see time and quality.
    Samples(Vec<Sample>),
}

impl Shared {
    /// 7/0/6 or 7/0/7. Counters are told then; as they count they are not, for telling them counts.
    pub(crate) fn collect(&mut self, starts: bool, now: Now) {
        let Some(statistics) = &mut self.core.statistics else {
            return;
        };
        if starts {
            statistics.start(now);
        } else {
            statistics.stop();
        }
        let counters = object::statistics::COUNTERS.map(|id| ResourceAddress::gateway(7, 0, id));
        let told = counters.map(|counter| News::Sampled(counter, None));
        self.news.extend(told);
    }

    pub(crate) fn new(core: CoreObjects, creation: Creation, endpoint: String) -> Self {
        let (out, waiting) = (Outputs::default(), Waiting::default());
        Self {
            core,
            creation,
            dates: Dates::default(),
            endpoint,
            hardware: Vec::new(),
            is_bootstrapped: false,
            is_urgent_only: false,
            news: Vec::new(),
            next_link: 0,
            out,
            tellings: Tellings::default(),
            trials: Trials::default(),
            waiting,
        }
    }

    /// A server has just been told that it will be left alone.
    pub(crate) fn has_disable(&self) -> bool {
        let is_disable = |news: &News| matches!(news, News::Effect(Effect::Disable(_)));
        self.news.iter().any(is_disable)
    }

    pub(crate) const fn new_link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId(self.next_link)
    }
}

impl Outputs {
    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(crate) fn commit(&mut self, record: Record) {
        self.commit_all(vec![record]);
    }

    /// Commits what belongs together.
    pub(crate) fn commit_all(&mut self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        self.next_commit += 1;
        self.queue
            .push_back(Output::Commit(CommitId(self.next_commit), records));
    }

    pub(crate) fn committed(&mut self, id: CommitId) {
        if self.behind == Some(id) {
            self.behind = None;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        if self.behind.is_some() {
            return None;
        }
        let output = self.queue.pop_front()?;
        if let Output::Commit(id, _) = &output {
            self.behind = Some(*id);
        }
        Some(output)
    }
}

impl Turn<'_> {
    pub(crate) fn catalogue(&self) -> Catalogue<'_> {
        Catalogue {
            core: &self.shared.core,
            creation: &self.shared.creation,
            now: self.now,
            tree: self.tree,
        }
    }

    /// Checks an operation and does it, or lets it wait for devices (then `None`).
    pub(crate) fn begin(
        &mut self,
        wish: Wish,
        attributes: Option<&AttributeStore>,
        prefix: &str,
    ) -> Option<Result<Reply, Reject>> {
        let context = Context {
            attributes,
            caller: &wish.caller,
            catalogue: self.catalogue(),
            prefix,
        };
        let plan = match operation::plan(&wish.operation, wish.address, context) {
            Ok(plan) => plan,
            Err(reject) => return Some(Err(self.refused(&wish, reject))),
        };
        match plan {
            Plan::Composite(paths) => Some(self.composite(&wish, paths)),
            Plan::Content(nodes) => Some(Ok(self.read_reply(&wish.asker, wish.address, nodes))),
            Plan::Links(links) => Some(Ok(Reply::Links(links))),
            Plan::Done(then) => {
                let command = wish
                    .operation
                    .is_command()
                    .then(|| (wish.operation.name(), detail(None, &then)));
                let pending = Pending::new(wish.address, wish.asker, wish.caller, command, then);
                Some(self.conclude(&pending))
            }
            Plan::Device(..) if self.shared.waiting.is_full() => {
                Some(Err(self.refused(&wish, Reject::from(Fault::Busy))))
            }
            Plan::Device(action, then) => {
                self.ask(wish, action, then);
                None
            }
        }
    }

    /// The devices have done their part, or their time is over.
    pub(crate) fn conclude(&mut self, pending: &Pending) -> Result<Reply, Reject> {
        let result = self.outcome(pending);
        if let Some((operation, detail)) = &pending.command {
            let (by, path) = (pending.caller.origin.clone(), pending.address.path);
            self.shared.out.push(Output::Event(match &result {
                Ok(_) => Event::Obeyed {
                    by,
                    operation,
                    path,
                    detail: detail.clone(),
                },
                Err(reject) => Event::Refused {
                    by,
                    operation,
                    path,
                    code: reject.to_string(),
                },
            }));
        }
        result
    }

    fn ask(&mut self, wish: Wish, action: Action, then: Then) {
        let command = wish
            .operation
            .is_command()
            .then(|| (wish.operation.name(), detail(Some(&action), &then)));
        let origin = wish.caller.origin.clone();
        let pending = Pending::new(wish.address, wish.asker, wish.caller, command, then);
        for op in self.shared.waiting.add(pending, 1, self.now.mono) {
            let request = DeviceRequest {
                origin: origin.clone(),
                action: action.clone(),
            };
            self.shared.out.push(Output::Device(op, request));
        }
    }

    fn outcome(&mut self, pending: &Pending) -> Result<Reply, Reject> {
        if let Then::Read = pending.then {
            return self.read_outcome(pending);
        }
        if let Some(fault) = pending.fault.clone().or_else(|| first_fault(pending)) {
            return Err(Reject::from(fault));
        }
        match &pending.then {
            Then::Attributes(attributes) => Ok(Reply::Attributes(attributes.clone())),
            Then::Created(instances) => self.create(&pending.caller.origin, instances),
            Then::Deleted(deletion) => self.delete(*deletion, &pending.caller.origin),
            Then::Executed(effect) => {
                self.shared.news.extend(effect.map(News::Effect));
                Ok(Reply::Done)
            }
            Then::Read => Ok(Reply::Content(Vec::new())),
            Then::Written(writes) => {
                self.commit(writes, &pending.caller.origin)?;
                Ok(Reply::Done)
            }
        }
    }

    fn read_outcome(&self, pending: &Pending) -> Result<Reply, Reject> {
        let Pending { address, asker, .. } = pending;
        let fault = pending.fault.clone().or_else(|| first_fault(pending));
        if let Asker::Local(_) = asker {
            let samples = self.samples(*address, |resource| self.is_failed(pending, resource));
            return match (samples, fault) {
                (samples, fault) if samples.is_empty() => {
                    Err(Reject::from(fault.unwrap_or(Fault::NoValue)))
                }
                (samples, _) => Ok(Reply::Samples(samples)),
            };
        }
        let is_single = address.path.resource().is_some();
        if let (true, Some(fault)) = (is_single, &fault) {
            return Err(Reject::from(fault.clone()));
        }
        let mut nodes = operation::content(*address, &pending.caller.origin, self.catalogue())?;
        let resource = |path| ResourceAddress {
            scope: address.scope,
            path,
        };
        nodes.retain(|node| !self.is_failed(pending, resource(node.path)));
        match fault {
            Some(fault) if nodes.is_empty() => Err(Reject::from(fault)),
            Some(_) | None => Ok(Reply::Content(nodes)),
        }
    }

    /// Whether a resource could not be read: itself, or because nothing of its device could.
    fn is_failed(&self, pending: &Pending, resource: ResourceAddress) -> bool {
        if pending.failed.iter().any(|(failed, _)| *failed == resource) {
            return true;
        }
        let found = self.catalogue().resource(resource);
        pending.fault.is_some() && found.is_some_and(|found| found.owner == Owner::Device)
    }

    /// A Read that needed no device: people see samples, servers see nodes.
    fn read_reply(&self, asker: &Asker, address: Address, nodes: Vec<Node>) -> Reply {
        match asker {
            Asker::Local(_) => Reply::Samples(self.samples(address, |_| false)),
            Asker::Server { .. } => Reply::Content(nodes),
        }
    }

    fn composite(&mut self, wish: &Wish, paths: Vec<Address>) -> Result<Reply, Reject> {
        match operation::composite_content(&paths, &wish.caller, self.catalogue()) {
            Ok(nodes) => Ok(Reply::Composite(paths, nodes)),
            Err(reject) => Err(self.refused(wish, reject)),
        }
    }

    /// The latest samples below an address; those that could not be refreshed are marked.
    fn samples(&self, address: Address, is_stale: impl Fn(ResourceAddress) -> bool) -> Vec<Sample> {
        let mut samples = Vec::new();
        for node in self.catalogue().latest(address) {
            let resource = ResourceAddress {
                scope: address.scope,
                path: node.path,
            };
            let sample = |index, value| {
                let known = self
                    .tree
                    .resource(resource)
                    .and_then(|resource| resource.sample(index));
                let mut sample = known.cloned().unwrap_or_else(|| Sample {
                    index,
                    ..Sample::good(resource, value, self.now.stamp())
                });
                if is_stale(resource) {
                    sample.quality = Quality::Stale;
                }
                sample
            };
            match node.content {
                Content::Single(value) => samples.push(sample(None, value)),
                Content::Multiple(values) => {
                    samples.extend(
                        values
                            .into_iter()
                            .map(|(index, value)| sample(Some(index), value)),
                    );
                }
            }
        }
        samples
    }

    /// People hear of commands that were refused, and of everything that was not authorised.
    fn refused(&mut self, wish: &Wish, reject: Reject) -> Reject {
        if wish.operation.is_command() || reject.code == Code::UNAUTHORIZED {
            self.shared.out.push(Output::Event(Event::Refused {
                by: wish.caller.origin.clone(),
                operation: wish.operation.name(),
                path: wish.address.path,
                code: reject.to_string(),
            }));
        }
        reject
    }
}

fn first_fault(pending: &Pending) -> Option<Fault> {
    pending.failed.first().map(|(_, fault)| fault.clone())
}

/// What was commanded, in a few words.
fn detail(action: Option<&Action>, then: &Then) -> String {
    const SHOWN: usize = 3;
    let mut words: Vec<String> = match action {
        Some(Action::Execute { args, .. }) => vec![String::from_utf8_lossy(args).into_owned()],
        Some(Action::Read(_)) | None => Vec::new(),
        Some(Action::WritePart(part)) => {
            vec![format!("{} bytes", part.offset + part.bytes.len() as u64)]
        }
        Some(Action::Write { values, .. }) => values
            .iter()
            .map(|value| format!("{} = {}", value.address, value.value))
            .collect(),
    };
    match then {
        Then::Attributes(_) | Then::Deleted(_) | Then::Executed(_) | Then::Read => {}
        Then::Created(instances) => words.extend(instances.keys().map(InstancePath::to_string)),
        Then::Written(edits) => words.extend(edits.iter().filter_map(edit_detail)),
    }
    let more = words.len().saturating_sub(SHOWN);
    words.truncate(SHOWN);
    let mut text = words.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

fn edit_detail(edit: &Edit) -> Option<String> {
    match edit {
        Edit::Delete(path, index) => Some(format!("{path}/{index} deleted")),
        Edit::Reset(_) => None,
        Edit::Merge(Node { path, content, .. }) | Edit::Set(Node { path, content, .. }) => {
            Some(match content {
                Content::Multiple(_) => path.to_string(),
                Content::Single(value) => format!("{path} = {value}"),
            })
        }
    }
}
