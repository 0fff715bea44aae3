//! Clients that are broken on purpose: the model has to find each of them.

use std::{collections::VecDeque, time::Duration};

use lamplighter_lwm2m::{
    boundary::{Input, LinkId, Output},
    saved::Record,
};
use lamplighter_model::{Sample, device::DeviceEvent};

use crate::wire::{Kind, kind};

/// One way to be wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mutant {
    /// Asks to be called at once, again and again.
    BusyLoop,
    /// Never closes a link.
    ClosesNothing,
    /// A restart does not know of a Disable.
    ForgetsDisable,
    /// Every third sample does not come in.
    LosesSamples,
    /// No Update leaves.
    LosesUpdates,
    /// Two samples that come together are told in the wrong order.
    ReordersSamples,
    /// Keeps the link that it was told to leave, and says something over it with the next sample.
    SendsWhileDisabled,
    /// Sends on a link that it has closed.
    SendsOnClosedLink,
    /// Every write is done twice.
    WritesTwice,
    /// The values that it tells are not those that were measured.
    WrongValue,
}

impl Mutant {
    pub const ALL: [Self; 10] = [
        Self::BusyLoop,
        Self::ClosesNothing,
        Self::ForgetsDisable,
        Self::LosesSamples,
        Self::LosesUpdates,
        Self::ReordersSamples,
        Self::SendsOnClosedLink,
        Self::SendsWhileDisabled,
        Self::WritesTwice,
        Self::WrongValue,
    ];

    /// What a start is given of what was saved.
    pub(crate) fn restored(self, saved: Vec<Record>) -> Vec<Record> {
        if self != Self::ForgetsDisable {
            return saved;
        }
        let mut saved = saved;
        saved.retain(|record| !matches!(record, Record::Registration(..)));
        saved
    }
}

/// A mutant at work.
#[derive(Debug)]
pub(crate) struct Sabotage {
    mutant: Mutant,
    extra: VecDeque<Output>,
    samples: u32,
    held: Option<Sample>,
    last: Option<(LinkId, Vec<u8>)>,
    left: Option<(LinkId, Vec<u8>)>,
}

impl Sabotage {
    pub(crate) const fn new(mutant: Mutant) -> Self {
        Self {
            mutant,
            extra: VecDeque::new(),
            samples: 0,
            held: None,
            last: None,
            left: None,
        }
    }

    pub(crate) fn inputs(&mut self, input: Input) -> Vec<Input> {
        let Input::Device(DeviceEvent::Changed(mut samples)) = input else {
            return vec![input];
        };
        match self.mutant {
            Mutant::SendsWhileDisabled => {
                let habit = self.left.clone();
                self.extra
                    .extend(habit.map(|(link, datagram)| Output::Transmit(link, datagram)));
            }
            Mutant::LosesSamples => {
                self.samples += 1;
                if self.samples.is_multiple_of(3) {
                    return Vec::new();
                }
            }
            // One late is two in the wrong order.
            Mutant::ReordersSamples => {
                let [sample] = samples.as_slice() else {
                    return vec![Input::Device(DeviceEvent::Changed(samples))];
                };
                match self.held.take() {
                    Some(held) if held.address == sample.address => samples.push(held),
                    _ => {
                        self.held = samples.pop();
                        return Vec::new();
                    }
                }
                let one = |sample| Input::Device(DeviceEvent::Changed(vec![sample]));
                return samples.into_iter().map(one).collect();
            }
            Mutant::WrongValue => {
                for sample in &mut samples {
                    if let Some(value) = sample.value.as_f64() {
                        sample.value = lamplighter_model::Value::Float(value + 0.5);
                    }
                }
            }
            Mutant::BusyLoop
            | Mutant::ClosesNothing
            | Mutant::ForgetsDisable
            | Mutant::LosesUpdates
            | Mutant::SendsOnClosedLink
            | Mutant::WritesTwice => {}
        }
        vec![Input::Device(DeviceEvent::Changed(samples))]
    }

    pub(crate) fn extra(&mut self) -> Option<Output> {
        self.extra.pop_front()
    }

    /// What becomes of an output; more may follow by [`Self::extra`].
    pub(crate) fn output(&mut self, output: Output) -> Option<Output> {
        match (self.mutant, &output) {
            (Mutant::LosesUpdates, Output::Transmit(_, datagram))
                if kind(datagram) == Some(Kind::Update) =>
            {
                return None;
            }
            (Mutant::ClosesNothing, Output::Close(_)) => return None,
            (
                Mutant::SendsOnClosedLink | Mutant::SendsWhileDisabled,
                Output::Transmit(link, datagram),
            ) => self.last = Some((*link, datagram.clone())),
            (Mutant::SendsOnClosedLink, Output::Close(closed)) => {
                if let Some((link, datagram)) = self.last.take()
                    && link == *closed
                {
                    self.extra.push_back(Output::Transmit(link, datagram));
                }
            }
            (Mutant::SendsWhileDisabled, Output::Close(_)) => {
                let is_leave =
                    |(_, datagram): &(LinkId, Vec<u8>)| kind(datagram) == Some(Kind::Deregister);
                self.left = self.last.take().filter(is_leave);
                if self.left.is_some() {
                    return None;
                }
            }
            (Mutant::WritesTwice, Output::Device(..)) => self.extra.push_back(output.clone()),
            _ => {}
        }
        Some(output)
    }

    pub(crate) fn timeout(
        &self,
        timeout: Option<(Duration, &'static str)>,
        now: Duration,
    ) -> Option<(Duration, &'static str)> {
        match self.mutant {
            Mutant::BusyLoop => Some((now, "nothing")),
            Mutant::ClosesNothing
            | Mutant::ForgetsDisable
            | Mutant::LosesSamples
            | Mutant::LosesUpdates
            | Mutant::ReordersSamples
            | Mutant::SendsOnClosedLink
            | Mutant::SendsWhileDisabled
            | Mutant::WritesTwice
            | Mutant::WrongValue => timeout,
        }
    }
}
