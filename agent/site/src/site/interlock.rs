//! Outputs that must never be on together: break before make.
//!
//! 1. Whoever is on, or may be, holds the interlock until it is known to be off ([`Contact`]).
//! 2. Another member may go on when all others are known to be off, the dead time long.
//! 3. As long as it may not, the slot of the interlock keeps it off where anything below wants it
//!    on; commands are refused with the reason, rules and groups wait in their slots.
//! 4. One that is seen on beside the holder is switched off at once, whatever its guard says.
//!
//! The holder survives a restart of the program, so that what runs goes on; after another start of
//! the machine everybody must be seen off again.
//!
//! [`Contact`]: crate::contact::Contact

use std::collections::BTreeMap;

use lamplighter_model::{
    Now, Value,
    device::{Fault, Origin},
};

use super::{Named, Site};
use crate::{
    boundary::{InterlockConfig, SiteEvent, Slot},
    contact::State,
    deadlines::Timer,
    moment::Moment,
    output::{Block, BlockKind, OutputIndex, is_on, left},
    slots::Entry,
};

/// An interlock, in the order of the configuration.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct InterlockIndex(usize);

#[derive(Debug)]
pub(super) struct Interlock {
    config: InterlockConfig,
    members: Vec<OutputIndex>,
    /// Who is on, or may be.
    holder: Option<Holder>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Holder {
    output: OutputIndex,
    /// It was told to be on when all others were known to be off; else it was only seen to be on.
    is_told: bool,
}

impl Site {
    /// Takes the interlocks of the configuration; `holders` are names of outputs by interlock.
    pub(super) fn add_interlocks(
        &mut self,
        interlocks: Vec<InterlockConfig>,
        holders: &BTreeMap<String, String>,
    ) {
        for config in interlocks {
            let mut members = Vec::new();
            for address in &config.never_together {
                match self.output_at(*address) {
                    Some(member) => members.push(member),
                    None => self.tell(SiteEvent::Failed {
                        name: config.name.clone(),
                        reason: format!("its member {address} is not an output"),
                    }),
                }
            }
            let index = InterlockIndex(self.interlocks.len());
            for member in &members {
                self.output_mut(*member).interlocks.push(index);
            }
            let holder = holders.get(&config.name);
            let holder = holder.and_then(|name| match self.by_name.get(name) {
                Some(Named::Output(output)) => Some(*output),
                Some(Named::Group(_) | Named::Value(_)) | None => None,
            });
            let holder = holder.filter(|holder| members.contains(holder));
            self.interlocks.push(Interlock {
                holder: holder.map(|output| Holder {
                    output,
                    is_told: true,
                }),
                config,
                members,
            });
        }
    }

    /// Who holds which interlock, by their names.
    pub(super) fn holders(&self) -> BTreeMap<String, String> {
        let held = self.interlocks.iter().filter_map(|interlock| {
            // One that was only seen to be on will be seen again.
            let holder = interlock.holder.filter(|holder| holder.is_told)?;
            let holder = self.output(holder.output);
            Some((interlock.config.name.clone(), holder.config.name.clone()))
        });
        held.collect()
    }

    /// Fills or empties the slot of the interlock before an output is looked at.
    pub(super) fn judge_interlocks(&mut self, index: OutputIndex, now: Now) {
        if self.output(index).interlocks.is_empty() {
            return;
        }
        for interlock in self.output(index).interlocks.clone() {
            self.settle_holder(interlock);
        }
        if self.output_mut(index).contact.take_news() {
            self.wake_partners(index, now);
        }
        let block = self.block(index, now);
        match block.as_ref().and_then(|block| block.until) {
            Some(until) => self.deadlines.set(Timer::Interlock(index), until),
            None => self.deadlines.clear(Timer::Interlock(index)),
        }
        self.apply_block(index, block, now);
    }

    /// An output is about to be switched on: it holds its interlocks from now on, also if the
    /// program ends before anybody knows what became of it.
    pub(super) fn take_interlocks(&mut self, index: OutputIndex, now: Now) {
        for interlock in self.output(index).interlocks.clone() {
            self.interlocks[interlock.0].holder = Some(Holder {
                output: index,
                is_told: true,
            });
            self.dirty = true;
        }
        self.wake_partners(index, now);
    }

    /// Why an output may not be commanded to this value now, if an interlock is the reason.
    pub(super) fn interlock_refusal(
        &self,
        index: OutputIndex,
        value: &Value,
        now: Now,
    ) -> Option<Fault> {
        let barrier = self.barrier(index, now).filter(|_| is_on(value))?;
        let retry_after = barrier.until.map(|until| Moment::of(now).until(until));
        Some(Fault::Refused {
            reason: format!("{}{}", barrier.reason, left(retry_after)),
            retry_after,
        })
    }

    /// The interlock that forbids two outputs to be on together.
    pub(super) fn interlock_between(&self, one: OutputIndex, other: OutputIndex) -> Option<&str> {
        let mut of_one = self.output(one).interlocks.iter();
        let shared = of_one.find(|interlock| self.output(other).interlocks.contains(interlock))?;
        Some(&self.interlocks[shared.0].config.name)
    }

    /// The state of a member has changed: the others are looked at within this turn.
    fn wake_partners(&mut self, index: OutputIndex, now: Now) {
        for interlock in self.output(index).interlocks.clone() {
            let members = self.interlocks[interlock.0].members.clone();
            for partner in members.into_iter().filter(|member| *member != index) {
                self.deadlines.set(Timer::Drive(partner), Moment::of(now));
            }
        }
    }

    fn settle_holder(&mut self, index: InterlockIndex) {
        let interlock = &self.interlocks[index.0];
        let state = |member: OutputIndex| self.output(member).contact.state();
        let kept = interlock
            .holder
            .filter(|holder| !matches!(state(holder.output), State::Off(_)));
        let holder = kept.or_else(|| {
            let mut members = interlock.members.iter().copied();
            let seen = members.find(|member| state(*member) == State::On)?;
            Some(Holder {
                output: seen,
                is_told: false,
            })
        });
        if holder != interlock.holder {
            self.interlocks[index.0].holder = holder;
            self.dirty = true;
        }
    }

    /// What the interlocks make of what an output wants, or does.
    fn block(&self, index: OutputIndex, now: Now) -> Option<Block> {
        let output = self.output(index);
        let barrier = self.barrier(index, now)?;
        let own = output.contact.state();
        let tripped = self.is_tripped(index);
        let beside_another = output.interlocks.iter().any(|interlock| {
            let holder = self.interlocks[interlock.0].holder;
            holder.is_some_and(|holder| holder.output != index)
        });
        let is_holder = output.interlocks.iter().any(|interlock| {
            let holder = self.interlocks[interlock.0].holder;
            holder.is_some_and(|holder| holder.is_told && holder.output == index)
        });
        let mut below = output.slots.occupied();
        let wants_on = below
            .find(|(slot, _)| *slot > Slot::Interlock)
            .is_some_and(|(_, entry)| is_on(&entry.value));
        let kind = match own {
            State::On if beside_another => BlockKind::Trips,
            State::Unknown if beside_another && tripped => BlockKind::Trips,
            State::On => BlockKind::Leaves,
            // Nobody knows whether it is on still: it is not told to be beside another.
            State::Unknown if is_holder => BlockKind::Leaves,
            State::Off(_) | State::Unknown if wants_on => BlockKind::Holds,
            State::Off(_) | State::Unknown => return None,
        };
        Some(Block { kind, ..barrier })
    }

    fn is_tripped(&self, index: OutputIndex) -> bool {
        let block = self.output(index).block.as_ref();
        block.is_some_and(|block| block.kind == BlockKind::Trips)
    }

    /// What keeps an output from going on; `None` for who may, or holds the interlock.
    fn barrier(&self, index: OutputIndex, now: Now) -> Option<Block> {
        let mut latest: Option<Block> = None;
        for interlock in &self.output(index).interlocks {
            let Interlock {
                config,
                members,
                holder,
            } = &self.interlocks[interlock.0];
            let told = holder.filter(|holder| holder.is_told);
            let holds = told.is_some_and(|holder| holder.output == index);
            if holds && self.output(index).contact.state() == State::On {
                continue;
            }
            let name = &config.name;
            for partner in members.iter().filter(|member| **member != index) {
                let partner_name = &self.output(*partner).config.name;
                let held = holder.is_some_and(|holder| holder.output == *partner);
                let (reason, until) = match self.output(*partner).contact.state() {
                    State::On => (format!("{partner_name} is on (interlock {name})"), None),
                    // It goes on with what it did, unless one is on beside it.
                    State::Unknown if holds && !self.is_tripped(*partner) => continue,
                    State::Unknown if held => {
                        (format!("{partner_name} may be on (interlock {name})"), None)
                    }
                    State::Unknown => (
                        format!("nobody knows whether {partner_name} is off (interlock {name})"),
                        None,
                    ),
                    State::Off(since) => {
                        let free = since.plus(config.dead_time);
                        if free <= Moment::of(now) {
                            continue;
                        }
                        let reason =
                            format!("{partner_name} was on (dead time of interlock {name})");
                        (reason, Some(free))
                    }
                };
                let worse = match latest.as_ref().map(|block| block.until) {
                    None => true,
                    Some(None) => false,
                    Some(Some(known)) => until.is_none_or(|until| until > known),
                };
                if worse {
                    latest = Some(Block {
                        by: name.clone(),
                        reason,
                        until,
                        kind: BlockKind::Holds,
                    });
                }
            }
        }
        latest
    }

    fn apply_block(&mut self, index: OutputIndex, block: Option<Block>, now: Now) {
        if self.output(index).block == block {
            return;
        }
        let off = self.output(index).value_of_level(0);
        let fills = block
            .as_ref()
            .filter(|block| block.kind != BlockKind::Leaves);
        let (Some(known), Some(value)) = (fills, off) else {
            let output = self.output_mut(index);
            output.slots.clear(Slot::Interlock);
            output.block = block;
            return;
        };
        let by = Origin::Rule(format!("interlock {}", known.by));
        let trips = known.kind == BlockKind::Trips;
        let before = self.output(index).slots.get(Slot::Interlock);
        let since = before.map_or_else(|| Moment::of(now), |entry| entry.since);
        let entry = Entry {
            id: self.new_command(),
            value,
            by,
            since,
            until: None,
            group: None,
        };
        let output = self.output_mut(index);
        let before = output.block.as_ref().map(|block| block.kind);
        let newly = trips && before != Some(BlockKind::Trips);
        output.slots.set(Slot::Interlock, entry);
        output.block = block;
        if newly {
            output.write_anew();
        }
    }
}
