//! One group: its last command, and what became of it at each member.

use std::collections::BTreeSet;

use lamplighter_model::{ObjectId, ResourceId, device::Origin, object::Operations};

use crate::{
    boundary::{GroupConfig, Slot},
    moment::Moment,
    output::OutputIndex,
    slots::CommandId,
};

/// A resource of a group.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum GroupResource {
    Name,
    /// Names of the members, one resource instance each.
    Members,
    /// Last command, 0–100, before any what the members were found in; writing it commands all
    /// members.
    Command,
    /// `on`, `off` or `mixed`, as measured.
    State,
    /// Number of members whose last write failed.
    Failed,
    /// In words, one resource instance for each member.
    Results,
    /// Percentage of the members at which the last command was tried.
    Progress,
    /// Mean level of the members as measured (3416/3).
    Level,
    /// 5850: command; reads true while any member is on.
    OnOff,
    /// 5851: command; reads the mean level.
    Dimmer,
    /// 3416/5, of the group as a whole.
    LampFailure,
    /// 3416/10, of the group as a whole.
    DayBurner,
}

/// The Command of the vendor object Group.
pub(crate) const COMMAND: ResourceId = ResourceId(2);

const VENDOR: &[(u16, GroupResource)] = &[
    (0, GroupResource::Name),
    (1, GroupResource::Members),
    (COMMAND.0, GroupResource::Command),
    (3, GroupResource::State),
    (4, GroupResource::Failed),
    (5, GroupResource::Results),
    (6, GroupResource::Progress),
];
const OUTDOOR_LAMP_CONTROLLER: &[(u16, GroupResource)] = &[
    (1, GroupResource::Command),
    (3, GroupResource::Level),
    (5, GroupResource::LampFailure),
    (10, GroupResource::DayBurner),
];
const ACTUATION: &[(u16, GroupResource)] = &[(5850, GroupResource::OnOff)];
const LIGHT_CONTROL: &[(u16, GroupResource)] =
    &[(5850, GroupResource::OnOff), (5851, GroupResource::Dimmer)];

/// The resources of the vendor object Group.
pub(crate) fn vendor_resources() -> impl Iterator<Item = (ResourceId, GroupResource)> {
    VENDOR
        .iter()
        .map(|(id, resource)| (ResourceId(*id), *resource))
}

/// What a group can say as an instance of a standard object; nothing where that object has no
/// command.
pub(crate) fn standard_resources(
    object: ObjectId,
) -> impl Iterator<Item = (ResourceId, GroupResource)> {
    let table = match object.0 {
        3306 => ACTUATION,
        3311 | 3312 => LIGHT_CONTROL,
        3416 => OUTDOOR_LAMP_CONTROLLER,
        _ => &[],
    };
    table
        .iter()
        .map(|(id, resource)| (ResourceId(*id), *resource))
}

impl GroupResource {
    pub(crate) const fn operations(self) -> Operations {
        match self {
            Self::Command | Self::Dimmer | Self::OnOff => Operations::RW,
            Self::DayBurner
            | Self::Failed
            | Self::LampFailure
            | Self::Level
            | Self::Members
            | Self::Name
            | Self::Progress
            | Self::Results
            | Self::State => Operations::R,
        }
    }
}

/// What became of the group's command at one member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum MemberResult {
    /// Nothing was commanded since the members are known.
    None,
    /// Its turn has not come, or the device has not answered yet.
    Pending,
    /// Its guard lets it wait.
    Guarded,
    Done,
    /// The command has ended before it was carried out.
    Ended,
    Failed(String),
    /// A higher slot wants something else.
    Overruled(Slot),
    /// Another group has commanded it since.
    Replaced,
}

impl std::fmt::Display for MemberResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Ended => f.write_str("ended before it was carried out"),
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Guarded => f.write_str("waits for its guard"),
            Self::None => f.write_str("not commanded"),
            Self::Overruled(slot) => write!(f, "overruled by {slot}"),
            Self::Pending => f.write_str("waiting"),
            Self::Replaced => f.write_str("commanded by another group"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupCommand {
    pub(crate) id: CommandId,
    pub(crate) level: u8,
    pub(crate) by: Origin,
    pub(crate) since: Moment,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) config: GroupConfig,
    pub(crate) members: Vec<OutputIndex>,
    pub(crate) command: Option<GroupCommand>,
    pub(crate) results: Vec<MemberResult>,
    /// Members whose result has changed since readers were told, by position.
    pub(crate) news: BTreeSet<u16>,
    /// When a member may be switched so that the stagger is kept.
    next_pace: Option<Moment>,
    /// The last member that was switched in its turn.
    last_switched: Option<Moment>,
    /// The end of the command was told.
    told: bool,
}

impl Group {
    pub(crate) fn new(config: GroupConfig, members: Vec<OutputIndex>) -> Self {
        let results = vec![MemberResult::None; members.len()];
        let news = (0..).take(members.len()).collect();
        Self {
            config,
            members,
            command: None,
            results,
            news,
            next_pace: None,
            last_switched: None,
            told: true,
        }
    }

    /// A new command: what is left of the older one is cancelled.
    pub(crate) fn start(&mut self, command: GroupCommand) {
        self.next_pace = self.last_switched.map(|at| at.plus(self.config.stagger));
        self.command = Some(command);
        self.results.fill(MemberResult::Pending);
        self.news = (0..).take(self.members.len()).collect();
        self.told = false;
    }

    /// The turn of the next member.
    pub(crate) fn pace(&mut self, now: Moment) -> Moment {
        let turn = self.next_pace.map_or(now, |at| at.max(now));
        self.next_pace = Some(turn.plus(self.config.stagger));
        turn
    }

    /// Whether a member that was given this turn may still be switched in it: one that was kept from
    /// it for longer would go on together with others.
    pub(crate) fn is_current(&self, turn: Moment, now: Moment) -> bool {
        turn.plus(self.config.stagger) >= now
    }

    pub(crate) fn on_switched(&mut self, now: Moment) {
        self.last_switched = Some(now);
    }

    /// Takes the result of a member; true if it is news.
    pub(crate) fn set_result(&mut self, member: OutputIndex, result: MemberResult) -> bool {
        let Some(at) = self.members.iter().position(|known| *known == member) else {
            return false;
        };
        if self.results[at] == result {
            return false;
        }
        self.results[at] = result;
        self.news.extend(u16::try_from(at));
        true
    }

    pub(crate) fn result(&self, member: OutputIndex) -> Option<&MemberResult> {
        self.members
            .iter()
            .position(|known| *known == member)
            .map(|at| &self.results[at])
    }

    pub(crate) fn failed(&self) -> u16 {
        let failed = self
            .results
            .iter()
            .filter(|result| matches!(result, MemberResult::Failed(_)))
            .count();
        u16::try_from(failed).unwrap_or(u16::MAX)
    }

    pub(crate) fn progress(&self) -> usize {
        let waiting = self
            .results
            .iter()
            .filter(|result| **result == MemberResult::Pending)
            .count();
        (self.results.len() - waiting)
            .saturating_mul(100)
            .checked_div(self.results.len())
            .unwrap_or(100)
    }

    /// True once, when no member waits for its turn or its answer any more.
    pub(crate) fn take_finished(&mut self) -> bool {
        let finished = !self.told && !self.results.contains(&MemberResult::Pending);
        self.told |= finished;
        finished
    }
}
