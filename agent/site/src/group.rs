//! One group: its last command, and what became of it at each member.

use std::collections::{BTreeMap, BTreeSet};

use lamplighter_model::{ObjectId, ResourceId, device::Origin, object::Operations};

use crate::{
    boundary::{GroupConfig, Slot},
    moment::Moment,
    output::OutputIndex,
    site::WatchIndex,
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
    /// Where each member stands among them.
    places: BTreeMap<OutputIndex, u16>,
    pub(crate) command: Option<GroupCommand>,
    results: Vec<MemberResult>,
    /// Results that say so.
    failed: u16,
    waiting: u16,
    /// What each member was last seen to do, and what all of it comes to.
    seen: Vec<Option<Seen>>,
    pub(crate) summary: Summary,
    /// Watches of its power.
    pub(crate) watches: Vec<WatchIndex>,
    /// Members whose result has changed since readers were told, by position.
    pub(crate) news: BTreeSet<u16>,
    /// When a member may be switched so that the stagger is kept.
    next_pace: Option<Moment>,
    /// The last member that was switched in its turn.
    last_switched: Option<Moment>,
    /// The end of the command was told.
    told: bool,
}

/// What a member was seen to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) is_on: bool,
    /// In percent, where it has one.
    pub(crate) level: Option<f64>,
}

/// What the members do all together, kept up with each of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    members: usize,
    on: usize,
    off: usize,
    levels: usize,
    /// In thousandths of a percent, so that nothing adds up but what is there.
    level_sum: i64,
}

impl Summary {
    fn count(&mut self, before: Option<Seen>, now: Option<Seen>) {
        // A level is 0–100; what a device makes of that is not summed up without bounds.
        let thousandths = |level: f64| (level.clamp(-1e6, 1e6) * 1000.0).round() as i64;
        let counted = |seen: Seen, what: bool| usize::from(seen.is_on == what);
        if let Some(seen) = before {
            self.on -= counted(seen, true);
            self.off -= counted(seen, false);
            self.levels -= usize::from(seen.level.is_some());
            self.level_sum -= seen.level.map_or(0, thousandths);
        }
        if let Some(seen) = now {
            self.on += counted(seen, true);
            self.off += counted(seen, false);
            self.levels += usize::from(seen.level.is_some());
            self.level_sum += seen.level.map_or(0, thousandths);
        }
    }

    /// `on`, `off` or `mixed`; `unknown` while no member was ever seen.
    pub(crate) const fn state(&self) -> &'static str {
        match (self.on, self.off) {
            (0, 0) => "unknown",
            (on, 0) if on == self.members => "on",
            (0, off) if off == self.members => "off",
            _ => "mixed",
        }
    }

    /// Whether any member is on; `None` while no member was ever seen.
    pub(crate) fn is_any_on(&self) -> Option<bool> {
        (self.on + self.off > 0).then_some(self.on > 0)
    }

    /// Mean level in percent of the members that were seen.
    pub(crate) fn level(&self) -> Option<i64> {
        let mean = self.level_sum as f64 / self.levels as f64 / 1000.0;
        (self.levels > 0).then(|| mean.round() as i64)
    }
}

impl Group {
    pub(crate) fn new(config: GroupConfig, members: Vec<OutputIndex>) -> Self {
        let results = vec![MemberResult::None; members.len()];
        let news = (0..).take(members.len()).collect();
        let seen = vec![None; members.len()];
        let summary = Summary {
            members: members.len(),
            ..Summary::default()
        };
        Self {
            config,
            places: members.iter().copied().zip(0..).collect(),
            members,
            command: None,
            results,
            failed: 0,
            waiting: 0,
            seen,
            summary,
            watches: Vec::new(),
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
        self.set_all(&MemberResult::Pending);
        self.told = false;
    }

    /// The same result at all members.
    pub(crate) fn set_all(&mut self, result: &MemberResult) {
        for member in self.members.clone() {
            self.set_result(member, result.clone());
        }
        self.news = (0..).take(self.members.len()).collect();
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
        let Some(at) = self.places.get(&member).copied() else {
            return false;
        };
        let known = &mut self.results[usize::from(at)];
        if *known == result {
            return false;
        }
        for (counted, by) in [(&*known, -1), (&result, 1)] {
            match counted {
                MemberResult::Failed(_) => self.failed = self.failed.saturating_add_signed(by),
                MemberResult::Pending => self.waiting = self.waiting.saturating_add_signed(by),
                MemberResult::Done
                | MemberResult::Ended
                | MemberResult::Guarded
                | MemberResult::None
                | MemberResult::Overruled(_)
                | MemberResult::Replaced => {}
            }
        }
        *known = result;
        self.news.insert(at);
        true
    }

    pub(crate) fn results(&self) -> &[MemberResult] {
        &self.results
    }

    pub(crate) fn result(&self, member: OutputIndex) -> Option<&MemberResult> {
        let at = self.places.get(&member)?;
        self.results.get(usize::from(*at))
    }

    pub(crate) const fn failed(&self) -> u16 {
        self.failed
    }

    pub(crate) fn progress(&self) -> usize {
        (self.results.len() - usize::from(self.waiting))
            .saturating_mul(100)
            .checked_div(self.results.len())
            .unwrap_or(100)
    }

    /// What a member does now; `None` while nobody knows.
    pub(crate) fn see(&mut self, member: OutputIndex, now: Option<Seen>) {
        let Some(at) = self.places.get(&member).copied() else {
            return;
        };
        let known = &mut self.seen[usize::from(at)];
        if *known != now {
            let before = std::mem::replace(known, now);
            self.summary.count(before, now);
        }
    }

    /// True once, when no member waits for its turn or its answer any more.
    pub(crate) fn take_finished(&mut self) -> bool {
        let finished = !self.told && self.waiting == 0;
        self.told |= finished;
        finished
    }
}
