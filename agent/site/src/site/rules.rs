//! Rules at work: when they are looked at, and how what they want gets into the slots.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use lamplighter_model::{
    DataType, Now, Quality, ResourceAddress, Sample, UnixTime, Value,
    device::{AdapterId, Fault, Origin},
};

use super::{Site, write::Plan};
use crate::{
    boundary::{Clock, ClockTrust, Position, Setpoint, SiteEvent, Slot, ThermostatConfig, WhyRule},
    check,
    deadlines::Timer,
    moment::Moment,
    output::{OutputIndex, is_on},
    rule::{
        Applied, Parameter, Rule, RuleIndex, RuleKind, RuleResource, Verdict, Wanted, Zone,
        sky::Sky, text_of,
    },
    saved::SavedRule,
    slots::Entry,
};

/// A clock that moves by more against the time since the start, in milliseconds, was set.
const STEP_MS: i64 = 2000;

/// Objects of lamps: on where nobody knows what time it is.
const LAMP_OBJECTS: [u16; 2] = [3311, 3416];

/// All rules, and what they share.
#[derive(Debug)]
pub(super) struct Rules {
    list: Vec<Rule>,
    sky: Sky,
    /// What was last told of the clock; no rule is looked at before.
    clock: Option<Clock>,
    /// Date minus time since the start when rules were last looked at because of the clock.
    offset_ms: Option<i64>,
    /// Who wants to know of a resource.
    inputs: BTreeMap<ResourceAddress, BTreeSet<RuleIndex>>,
    of_output: BTreeMap<OutputIndex, BTreeSet<RuleIndex>>,
    /// Rules that readers are to be told of.
    touched: BTreeSet<RuleIndex>,
}

impl Rules {
    pub(super) fn new(position: Option<Position>) -> Self {
        Self {
            list: Vec::new(),
            sky: Sky::new(Arc::new(Zone::utc()), position),
            clock: None,
            offset_ms: None,
            inputs: BTreeMap::new(),
            of_output: BTreeMap::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Whether there is a date that can be believed.
    pub(super) fn is_dated(&self, now: Now) -> bool {
        let clock = self.clock.as_ref();
        now.unix.is_some() && clock.is_some_and(|clock| clock.trust == ClockTrust::Trusted)
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = RuleIndex> + use<> {
        (0..u16::try_from(self.list.len()).unwrap_or(u16::MAX)).map(RuleIndex)
    }

    pub(super) fn get(&self, index: RuleIndex) -> &Rule {
        &self.list[usize::from(index.0)]
    }

    fn get_mut(&mut self, index: RuleIndex) -> &mut Rule {
        self.touched.insert(index);
        &mut self.list[usize::from(index.0)]
    }

    pub(super) fn take_touched(&mut self) -> BTreeSet<RuleIndex> {
        std::mem::take(&mut self.touched)
    }

    /// Samples that a rule goes by.
    pub(super) fn inputs_among(&self, samples: &[Sample]) -> Vec<Sample> {
        let inputs = samples.iter();
        let inputs = inputs
            .filter(|sample| sample.index.is_none() && self.inputs.contains_key(&sample.address));
        inputs.cloned().collect()
    }

    fn of_input(&self, address: ResourceAddress) -> Vec<RuleIndex> {
        let rules = self.inputs.get(&address);
        rules.into_iter().flatten().copied().collect()
    }

    fn add(&mut self, rule: Rule) {
        let Ok(index) = u16::try_from(self.list.len()).map(RuleIndex) else {
            return;
        };
        let inputs = match &rule.kind {
            RuleKind::Light(light) => {
                let input = light.photocell.as_ref().map(|cell| cell.config.input);
                [input, None]
            }
            RuleKind::Thermostat(thermostat) => {
                let setpoint = match thermostat.config.setpoint {
                    Setpoint::Fixed(_) => None,
                    Setpoint::Point(address) => Some(address),
                };
                [Some(thermostat.config.sensor), setpoint]
            }
        };
        for address in inputs.into_iter().flatten() {
            self.inputs.entry(address).or_default().insert(index);
        }
        for target in &rule.targets {
            self.of_output.entry(*target).or_default().insert(index);
        }
        self.touched.insert(index);
        self.list.push(rule);
    }

    /// A rule has left an output: what others want of it is put there when they are looked at.
    fn apply_others(&mut self, index: RuleIndex, output: OutputIndex) {
        let others = self.of_output.get(&output).into_iter().flatten();
        for other in others.filter(|other| **other != index) {
            self.list[usize::from(other.0)].applied = None;
        }
    }

    pub(super) fn to_saved(&self) -> BTreeMap<String, SavedRule> {
        let rules = self.list.iter();
        rules.map(|rule| (rule.key(), rule.to_saved())).collect()
    }
}

impl Site {
    pub(super) fn add_rules(
        &mut self,
        thermostats: Vec<ThermostatConfig>,
        saved: &BTreeMap<String, SavedRule>,
        now: Now,
    ) {
        for (number, group) in (0..).zip(&self.groups) {
            let saved = saved.get(&format!("schedule {}", group.config.name));
            let (index, members) = (crate::output::GroupIndex(number), group.members.clone());
            if let Some(rule) = Rule::light(&group.config, index, members, saved, now) {
                self.rules.add(rule);
            }
        }
        for config in thermostats {
            let Some(target) = self.output_at(config.output) else {
                let reason = format!("its output {} is none", config.output);
                self.tell(SiteEvent::Failed {
                    name: config.name,
                    reason,
                });
                continue;
            };
            let saved = saved.get(&format!("thermostat {}", config.name));
            self.rules.add(Rule::thermostat(config, target, saved, now));
        }
    }

    pub(super) fn on_clock(&mut self, clock: Clock, now: Now) {
        let offset = offset_ms(now);
        let stepped = match (self.rules.offset_ms, offset) {
            (Some(before), Some(after)) => before.abs_diff(after) > STEP_MS.unsigned_abs(),
            (None, None) => false,
            (None, Some(_)) | (Some(_), None) => true,
        };
        let news = self.rules.clock.as_ref() != Some(&clock);
        if !stepped && !news {
            return;
        }
        self.rules.offset_ms = offset;
        if *self.rules.sky.zone != *clock.zone {
            self.rules.sky.set_zone(Arc::clone(&clock.zone));
            self.rules.list.iter_mut().for_each(Rule::forget_ahead);
        }
        self.rules.clock = Some(clock);
        if self.rules.is_dated(now) {
            self.on_dated(now);
        }
        for index in self.rules.indices() {
            // Also where it wants the same: commands may be older than they seemed.
            self.rules.list[usize::from(index.0)].applied = None;
            self.look(index, now);
        }
    }

    /// Measurements that rules go by.
    pub(super) fn on_inputs(&mut self, inputs: Vec<Sample>, now: Now) {
        for sample in inputs {
            for index in self.rules.of_input(sample.address) {
                self.see(index, &sample, now);
                self.look(index, now);
            }
        }
    }

    fn see(&mut self, index: RuleIndex, sample: &Sample, now: Now) {
        let (usable, stale) = match sample.quality {
            Quality::Good | Quality::Unchecked => (true, false),
            Quality::Bad => (false, false),
            Quality::Stale => (false, true),
        };
        match &mut self.rules.list[usize::from(index.0)].kind {
            RuleKind::Light(light) => {
                if let Some(photocell) = &mut light.photocell {
                    photocell.see(usable.then_some(&sample.value), now);
                }
            }
            RuleKind::Thermostat(thermostat) => {
                let number = sample.value.as_f64().filter(|_| usable);
                if thermostat.config.setpoint == Setpoint::Point(sample.address) {
                    self.dirty |= number.is_some_and(|number| thermostat.see_setpoint(number));
                }
                if thermostat.config.sensor != sample.address {
                    return;
                }
                if stale {
                    thermostat.lose_sight();
                } else {
                    thermostat.see(number, Moment::of_stamp(sample.at, now));
                }
            }
        }
    }

    /// A device is given up: what it measured says nothing of the light any more. Thermostats go on
    /// for as long as they may.
    pub(super) fn on_inputs_lost(&mut self, adapter: AdapterId, now: Now) {
        let lost = self.rules.inputs.keys().copied();
        let lost = lost.filter(|address| {
            let point = self.points.get(address);
            point.is_some_and(|point| point.adapter == adapter)
        });
        for address in lost.collect::<Vec<_>>() {
            for index in self.rules.of_input(address) {
                match &mut self.rules.list[usize::from(index.0)].kind {
                    RuleKind::Light(light) => {
                        if let Some(photocell) = &mut light.photocell {
                            photocell.see(None, now);
                        }
                    }
                    RuleKind::Thermostat(thermostat) => {
                        if thermostat.config.sensor == address {
                            thermostat.lose_sight();
                        }
                    }
                }
                self.look(index, now);
            }
        }
    }

    /// Looks at a rule: something that concerns it has changed, or its time has come.
    pub(super) fn look(&mut self, index: RuleIndex, now: Now) {
        if self.rules.clock.is_none() {
            return;
        }
        let target = self.rules.get(index).targets.first();
        let actual = target.and_then(|target| self.output(*target).actual().map(is_on));
        let Rules { list, sky, .. } = &mut self.rules;
        let rule = &mut list[usize::from(index.0)];
        let before = (rule.next, rule.kept());
        let Verdict {
            wanted,
            wake,
            event,
            trouble,
        } = rule.look(sky, actual, now);
        let changed = (rule.next, rule.kept()) != before;
        self.dirty |= rule.kept() != before.1;
        match wake {
            Some(at) => self.deadlines.set(Timer::Rule(index), at),
            None => self.deadlines.clear(Timer::Rule(index)),
        }
        if changed || self.rules.get(index).trouble != trouble {
            self.rules.touched.insert(index);
        }
        self.note_trouble(index, trouble);
        self.apply(index, wanted, event, now);
    }

    fn note_trouble(&mut self, index: RuleIndex, trouble: Option<String>) {
        let rule = self.rules.get(index);
        if rule.trouble == trouble {
            return;
        }
        let name = rule.name.clone();
        self.rules.get_mut(index).trouble.clone_from(&trouble);
        self.tell(SiteEvent::Rule { name, trouble });
    }

    /// Puts what a rule wants into the slot of its outputs, and ends older commands.
    fn apply(&mut self, index: RuleIndex, wanted: Wanted, event: Option<i64>, now: Now) {
        let rule = self.rules.get(index);
        let (kept, slot) = (rule.on, rule.slot());
        let on = match wanted {
            Wanted::Keep | Wanted::SwitchLamps => kept,
            Wanted::Release => None,
            Wanted::Switch(on) => Some(on),
        };
        if on != kept {
            self.rules.get_mut(index).on = on;
            self.dirty = true;
        }
        let ends_commands = match &self.rules.get(index).kind {
            RuleKind::Light(light) => event.filter(|_| light.until_next_event),
            RuleKind::Thermostat(_) => None,
        };
        // A measurement that changes nothing is not told to a whole street.
        let applied = Some(Applied { on, wanted, event });
        let rule = &mut self.rules.list[usize::from(index.0)];
        if std::mem::replace(&mut rule.applied, applied) == applied {
            return;
        }
        for target in rule.targets.clone() {
            let object = self.output(target).config.address.path.object();
            let is_lamp = LAMP_OBJECTS.contains(&object.0);
            let on = on.filter(|_| wanted != Wanted::SwitchLamps || !is_lamp);
            let on = on.or_else(|| (wanted == Wanted::SwitchLamps && is_lamp).then_some(true));
            let ended = ends_commands.is_some_and(|event| self.end_commands(target, event, now));
            let filled = self.fill_slot(index, target, slot, on, now);
            if ended || filled {
                self.drive(target, now);
            }
        }
    }

    /// True if the slot holds something else now.
    fn fill_slot(
        &mut self,
        index: RuleIndex,
        target: OutputIndex,
        slot: Slot,
        on: Option<bool>,
        now: Now,
    ) -> bool {
        let output = self.output(target);
        let value = on.and_then(|on| output.value_of_level(if on { 100 } else { 0 }));
        let known = output.slots.get(slot).map(|entry| &entry.value);
        if known == value.as_ref() {
            return false;
        }
        let Some(value) = value else {
            self.output_mut(target).slots.clear(slot);
            self.rules.apply_others(index, target);
            return true;
        };
        let entry = Entry {
            id: self.new_command(),
            value,
            by: Origin::Rule(self.rules.get(index).name.clone()),
            since: Moment::of(now),
            until: None,
            group: None,
        };
        self.output_mut(target).slots.set(slot, entry);
        self.take_turn(index, target, now);
        true
    }

    /// The members of a group are switched one after the other.
    fn take_turn(&mut self, index: RuleIndex, target: OutputIndex, now: Now) {
        let group = match &self.rules.get(index).kind {
            RuleKind::Light(light) => light.group,
            RuleKind::Thermostat(_) => return,
        };
        let output = self.output(target);
        let switches = output.commanded() != output.in_effect.as_ref();
        if output.present && switches {
            let turn = self.group_mut(group).pace(Moment::of(now));
            self.output_mut(target).set_turn((group, turn));
        }
    }

    /// design: a command holds until the next schedule event by default. True if one has ended.
    fn end_commands(&mut self, target: OutputIndex, event: i64, now: Now) -> bool {
        let event = UnixTime(event.saturating_mul(1000));
        let slots = &self.output(target).slots;
        let ended = |slot| {
            slots.get(slot).is_some_and(|entry| {
                let since = entry.since.unix(now);
                entry.until.is_none() && since.is_some_and(|since| since < event)
            })
        };
        let (single, group) = (ended(Slot::Command), ended(Slot::GroupCommand));
        if group {
            self.output_mut(target).slots.clear(Slot::GroupCommand);
        }
        if single {
            let waiter = self.output_mut(target).release_command();
            self.answer_replaced(waiter, target, now);
        }
        self.dirty_outputs |= single || group;
        single || group
    }

    /// When a command in this slot ends because a rule switches.
    pub(super) fn next_event(&self, index: OutputIndex, slot: Slot, now: Now) -> Option<Moment> {
        if slot != Slot::Command && slot != Slot::GroupCommand {
            return None;
        }
        let rules = self.rules.of_output.get(&index).into_iter().flatten();
        let nexts = rules.filter_map(|rule| {
            let rule = self.rules.get(*rule);
            match &rule.kind {
                RuleKind::Light(light) if light.until_next_event => rule.next_at(now),
                RuleKind::Light(_) | RuleKind::Thermostat(_) => None,
            }
        });
        nexts.min()
    }

    /// The rules that switch an output.
    pub(super) fn rules_of(&self, index: OutputIndex, now: Now) -> Vec<WhyRule> {
        let rules = self.rules.of_output.get(&index).into_iter().flatten();
        let views = rules.map(|rule| {
            let rule = self.rules.get(*rule);
            let next = rule.next.zip(rule.next_at(now));
            WhyRule {
                name: rule.name.clone(),
                kind: rule.kind_name(),
                enabled: rule.enabled,
                says: rule.says(&self.rules.sky, now),
                next: next.map(|((_, on), at)| (Moment::of(now).until(at), on)),
            }
        });
        views.collect()
    }

    pub(super) fn rule_addresses(&self, index: RuleIndex) -> Vec<(ResourceAddress, RuleResource)> {
        let own = self.vendor_instance(4, index.0);
        self.rules.get(index).addresses(own)
    }

    pub(super) fn rule_samples(
        &self,
        address: ResourceAddress,
        index: RuleIndex,
        resource: RuleResource,
        now: Now,
    ) -> Vec<Sample> {
        let rule = self.rules.get(index);
        if resource == RuleResource::Targets {
            let names = rule.targets.iter();
            let names = names.map(|target| self.output(*target).config.name.clone());
            let samples = names.zip(0..);
            return samples
                .filter_map(|(name, at)| self.text_sample(address, at, name, now))
                .collect();
        }
        let value = match resource {
            RuleResource::State => Some(Value::String(rule.says(&self.rules.sky, now))),
            RuleResource::Dark
            | RuleResource::Enabled
            | RuleResource::Kind
            | RuleResource::Name
            | RuleResource::OffThreshold
            | RuleResource::OnThreshold
            | RuleResource::Schedule
            | RuleResource::Setpoint
            | RuleResource::Targets => rule.value(resource),
        };
        value
            .and_then(|value| self.own_sample(address, value, now))
            .into_iter()
            .collect()
    }

    /// Notes what a write to a rule's resource changes.
    pub(super) fn plan_rule(
        &self,
        index: RuleIndex,
        resource: RuleResource,
        value: Value,
        plan: &mut Plan,
    ) -> Result<(), Fault> {
        let Some(parameter) = resource.parameter() else {
            return Err(Fault::Unsupported);
        };
        let limit = self.rules.get(index).limit(parameter);
        let value = check::within(value, limit, Some(DataType::Float))?;
        let text = text_of(&value).ok_or(Fault::Unsupported)?;
        let changes = plan.rules.entry(index).or_default();
        match changes.insert(parameter, text.clone()) {
            Some(other) if other != text => Err(Fault::BadValue(
                "the rule is told two different things in one write".to_owned(),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether all rules of a write can take what is written to them.
    pub(super) fn check_rules(
        &self,
        changes: &BTreeMap<RuleIndex, BTreeMap<Parameter, String>>,
    ) -> Result<(), Fault> {
        for (index, changes) in changes {
            let mut trial = self.rules.get(*index).clone();
            trial.change(changes).map_err(Fault::BadValue)?;
            if trial.needs_sun() && !self.rules.sky.has_position() {
                let reason = "no position is configured, so the sun cannot be gone by";
                return Err(Fault::BadValue(reason.to_owned()));
            }
        }
        Ok(())
    }

    pub(super) fn change_rule(
        &mut self,
        index: RuleIndex,
        changes: &BTreeMap<Parameter, String>,
        origin: &Origin,
        now: Now,
    ) {
        let rule = self.rules.get_mut(index);
        tracing::info!(rule = rule.name, ?changes, ?origin, "Rule changed");
        if let Err(reason) = rule.change(changes) {
            // Checked before.
            tracing::error!(rule = rule.name, reason, "Rule not changed");
        }
        self.dirty = true;
        self.look(index, now);
    }
}

/// Date minus time since the start.
fn offset_ms(now: Now) -> Option<i64> {
    let mono = i64::try_from(now.mono.as_millis()).unwrap_or(i64::MAX);
    now.unix.map(|unix| unix.0.saturating_sub(mono))
}
