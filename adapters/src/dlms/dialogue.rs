//! What is said to a meter and what is made of its answers. No port, no clock.
//!
//! 1. An association is asked for; with GMAC each side then proves that it has the keys.
//! 2. The logical device name is read: by it an exchanged meter is seen.
//! 3. Each register is read, and its scaler and unit where they are not known yet. What the meter
//!    refuses is told of that register; the others are read all the same.
//! 4. The association is released.

use std::{collections::BTreeMap, fmt};

use dlms_cosem_rs::{
    Error as CodecFault,
    acse::{AssociationResult, Diagnostic, UserDiagnostic},
    axdr::Data,
    client::{AssociationStep, ClientConfig, ClientSession, Response},
    codec::ErrorKind,
    security::{RustCryptoProvider, SystemTitle},
    xdlms::{AttributeDescriptor, ExceptionResponse, ServiceError},
};
use lamplighter_model::device::Fault;

use super::{
    security::{Entropy, Security},
    value::{Value, scaler_and_unit},
};
use crate::meter::{Obis, Trouble};

/// An attribute to be read.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Wanted {
    pub class: u16,
    /// Logical name.
    pub name: [u8; 6],
    pub attribute: i8,
}

/// What one attribute gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Told {
    pub value: Value,
    /// As in DLMS; 255 is none.
    pub unit: u8,
}

/// Why a meter was not read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// It cannot read what we encrypt, or we cannot read it: the keys differ.
    Key,
    /// Our counter is behind what the meter has seen; what it expects, which nobody vouches for.
    Counter(Option<u32>),
    /// No numbers for the counter could be reserved.
    CounterNotKept(String),
    /// Something came, but not what the protocol has in this place.
    Garbled(&'static str),
    /// The port, with its words.
    Line(String),
    /// It refuses the link or the association, and why.
    Refused(&'static str),
    Silence,
    /// More than is read in one go.
    TooLong,
}

/// Scaler and number of the unit of registers, by class and logical name.
pub(super) type Scalers = BTreeMap<(u16, [u8; 6]), (i8, u8)>;

/// A conversation with one meter.
#[derive(Debug)]
pub struct Dialogue {
    session: ClientSession<RustCryptoProvider<Entropy>>,
    wanted: Vec<Wanted>,
    step: Step,
    /// A value that comes in parts.
    parts: Parts,
    device_name: Option<String>,
    told: Vec<Result<Told, String>>,
    /// Scaler and unit of registers.
    scalers: Scalers,
    /// A value that waits for its scaler.
    unscaled: Option<Value>,
    /// Numbers that may be used.
    counters_end: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Associate,
    Done,
    Identify,
    Prove,
    Read(usize),
    Release,
    Scale(usize),
}

#[derive(Debug)]
struct Parts {
    bytes: Vec<u8>,
    /// The part that came last.
    number: u32,
}

/// Numbers that one conversation takes at most.
pub(super) const COUNTERS: u32 = 1024;
/// Longest answer.
pub(super) const APDU_MAX: usize = 4096;
/// A value that is longer than this is a load profile, which is not read.
const VALUE_MAX: usize = 16_384;
/// Bytes of a request.
const REQUEST_MAX: usize = 1024;
/// Class Data, attribute 2: the name of the logical device.
const DEVICE_NAME: Wanted = Wanted {
    class: 1,
    name: [0, 0, 42, 0, 0, 255],
    attribute: 2,
};

impl Wanted {
    /// The value of a register.
    pub fn value(class: u16, obis: &Obis) -> Self {
        Self {
            class,
            name: obis.to_bytes(),
            attribute: 2,
        }
    }

    /// Where the scaler and unit of this value stand (IEC 62056-62, 4.3): in registers, extended
    /// registers and demand registers.
    fn scaler_attribute(self) -> Option<i8> {
        match (self.class, self.attribute) {
            (3 | 4, 2) => Some(3),
            (5, 2 | 3) => Some(4),
            _ => None,
        }
    }

    fn descriptor(self) -> AttributeDescriptor {
        let name = dlms_cosem_rs::obis::Obis::from_bytes(self.name);
        AttributeDescriptor::new(self.class, name, self.attribute)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let obis = Obis::from_bytes(self.name);
        if self.attribute == 2 {
            obis.fmt(f)
        } else {
            write!(f, "{obis} attribute {}", self.attribute)
        }
    }
}

impl Dialogue {
    /// A conversation as this client (16 is the public one) that reads these. With GMAC it takes up to
    /// [`COUNTERS`] numbers from `counter` on.
    ///
    /// # Errors
    /// The password is too long for the protocol.
    pub fn new(
        client: u8,
        security: &Security,
        counter: u32,
        wanted: Vec<Wanted>,
    ) -> Result<Self, Failure> {
        let system_title = match security {
            Security::Gmac { system_title, .. } => Some(SystemTitle::new(*system_title)),
            Security::None | Security::Password(_) => None,
        };
        let config = ClientConfig {
            client_sap: client,
            system_title,
            mechanism: security.mechanism(),
            password: security.password().map_err(|_| Failure::TooLong)?,
            security: security.policy(),
            // The session uses the one behind it first.
            invocation_counter: counter.saturating_sub(1),
            ..ClientConfig::default()
        };
        Ok(Self {
            session: ClientSession::new(config, security.provider()),
            wanted,
            step: Step::Associate,
            parts: Parts {
                bytes: Vec::new(),
                number: 0,
            },
            device_name: None,
            told: Vec::new(),
            scalers: BTreeMap::new(),
            unscaled: None,
            counters_end: counter.saturating_add(COUNTERS),
        })
    }

    /// What to say now; `None` at the end.
    ///
    /// # Errors
    /// It cannot be said.
    pub fn say(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        // The session counts the last one that was used, and one step takes two.
        if self.session.invocation_counter().saturating_add(2) >= self.counters_end {
            return Err(Failure::TooLong);
        }
        let mut request = vec![0; REQUEST_MAX];
        let length = match self.step {
            Step::Associate => self.session.associate_request(&mut request),
            Step::Done => return Ok(None),
            Step::Prove => self.session.hls_reply_request(&mut request),
            Step::Release => self.session.release_request(&mut request),
            Step::Identify | Step::Read(_) | Step::Scale(_) if self.parts.number > 0 => {
                let number = self.parts.number;
                self.session.get_next_block_request(number, &mut request)
            }
            Step::Identify => self.get(DEVICE_NAME, &mut request),
            Step::Read(at) => self.get(self.wanted[at], &mut request),
            Step::Scale(at) => {
                let wanted = self.wanted[at];
                let attribute = wanted.scaler_attribute().unwrap_or(3);
                self.get(
                    Wanted {
                        attribute,
                        ..wanted
                    },
                    &mut request,
                )
            }
        };
        request.truncate(length.map_err(|error| of_codec(&error))?);
        Ok(Some(request))
    }

    fn get(&mut self, wanted: Wanted, request: &mut [u8]) -> Result<usize, CodecFault> {
        self.session.get_request(wanted.descriptor(), None, request)
    }

    /// What came.
    ///
    /// # Errors
    /// The meter cannot be read.
    pub fn heard(&mut self, apdu: &[u8]) -> Result<(), Failure> {
        match self.step {
            Step::Associate => {
                let step = self.session.handle_associate_response(apdu);
                self.associated(step)
            }
            Step::Prove => {
                let step = self.session.handle_hls_reply_response(apdu);
                self.associated(step)
            }
            Step::Identify | Step::Read(_) | Step::Scale(_) => self.value(apdu),
            Step::Done | Step::Release => {
                self.step = Step::Done;
                Ok(())
            }
        }
    }

    fn associated(&mut self, step: Result<AssociationStep, CodecFault>) -> Result<(), Failure> {
        self.step = match step.map_err(|error| of_codec(&error))? {
            AssociationStep::Established => Step::Identify,
            AssociationStep::HlsReplyRequired => Step::Prove,
            AssociationStep::Rejected { result, diagnostic } => {
                return Err(Failure::Refused(of_rejection(result, diagnostic)));
            }
            AssociationStep::Exception(exception) => return Err(of_exception(&exception)),
        };
        Ok(())
    }

    fn value(&mut self, apdu: &[u8]) -> Result<(), Failure> {
        let mut plain = vec![0; APDU_MAX];
        let response = self.session.handle_response(apdu, &mut plain);
        let response = response.map_err(|error| of_codec(&error))?;
        if let Response::Block { last, number, data } = response {
            return self.part(last, number, data.to_vec());
        }
        let parts = std::mem::take(&mut self.parts.number);
        self.parts.bytes.clear();
        if let Response::Data(data) = response
            && parts == 0
        {
            let data = Answer::of(&data);
            self.told(Ok(data));
            return Ok(());
        }
        if let Response::DataError(why) = response {
            self.told(Err(of_access(why.as_u8())));
            return Ok(());
        }
        if let Response::Exception(exception) = response {
            return Err(of_exception(&exception));
        }
        Err(Failure::Garbled("an answer to another question"))
    }

    /// A part of a value (IEC 62056-53, 9.3: block transfer).
    fn part(&mut self, is_last: bool, number: u32, data: Vec<u8>) -> Result<(), Failure> {
        if number != self.parts.number.saturating_add(1) {
            return Err(Failure::Garbled("a part of a value out of turn"));
        }
        if data.is_empty() && !is_last {
            return Err(Failure::Garbled("a value in empty parts"));
        }
        self.parts.number = number;
        self.parts.bytes.extend(data);
        if self.parts.bytes.len() > VALUE_MAX {
            return Err(Failure::TooLong);
        }
        if !is_last {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.parts.bytes);
        self.parts.number = 0;
        let answer = Data::from_bytes_in(&bytes)
            .map(|data| Answer::of(&data))
            .map_err(|_| Failure::Garbled("a value that cannot be read"))?;
        self.told(Ok(answer));
        Ok(())
    }

    fn told(&mut self, answer: Result<Answer, &'static str>) {
        match self.step {
            Step::Identify => {
                let name = answer.ok().map(|answer| answer.value.to_string());
                self.device_name = name.filter(|name| !name.is_empty());
                self.next(0);
            }
            Step::Read(at) => self.register(at, answer),
            Step::Scale(at) => {
                let wanted = self.wanted[at];
                let scaler = answer.ok().and_then(|answer| answer.scaler);
                let value = self.unscaled.take();
                self.told.push(match (scaler, value) {
                    (Some(scaler), Some(value)) => {
                        self.scalers.insert((wanted.class, wanted.name), scaler);
                        Ok(scaled(value, scaler))
                    }
                    (None, _) | (_, None) => Err(format!(
                        "{wanted}: the meter does not say its scaler and unit"
                    )),
                });
                self.next(at + 1);
            }
            Step::Associate | Step::Done | Step::Prove | Step::Release => (),
        }
    }

    fn register(&mut self, at: usize, answer: Result<Answer, &'static str>) {
        let wanted = self.wanted[at];
        let value = match answer {
            Ok(answer) => answer.value,
            Err(why) => {
                self.told.push(Err(format!("{wanted}: {why}")));
                return self.next(at + 1);
            }
        };
        if wanted.scaler_attribute().is_none() || !matches!(value, Value::Number(_)) {
            self.told.push(Ok(Told { value, unit: 255 }));
            return self.next(at + 1);
        }
        if let Some(scaler) = self.scalers.get(&(wanted.class, wanted.name)) {
            self.told.push(Ok(scaled(value, *scaler)));
            return self.next(at + 1);
        }
        self.unscaled = Some(value);
        self.step = Step::Scale(at);
    }

    fn next(&mut self, at: usize) {
        self.step = if at < self.wanted.len() {
            Step::Read(at)
        } else {
            Step::Release
        };
    }

    /// Whether all is read, be the association released or not.
    pub fn is_read(&self) -> bool {
        matches!(self.step, Step::Release | Step::Done)
    }

    pub fn device_name(&self) -> Option<&str> {
        self.device_name.as_deref()
    }

    /// One for each attribute that was wanted.
    pub fn into_told(self) -> Vec<Result<Told, String>> {
        self.told
    }

    /// The number that the next message would have.
    pub fn counter(&self) -> u32 {
        self.session.invocation_counter().saturating_add(1)
    }
}

fn scaled(value: Value, (scaler, unit): (i8, u8)) -> Told {
    Told {
        value: value.scaled(scaler),
        unit,
    }
}

/// A value, and the scaler and unit that it may be.
struct Answer {
    value: Value,
    scaler: Option<(i8, u8)>,
}

impl Answer {
    fn of(data: &Data<'_>) -> Self {
        Self {
            value: Value::of(data),
            scaler: scaler_and_unit(data),
        }
    }
}

fn of_codec(error: &CodecFault) -> Failure {
    let kind = &error.kind;
    if matches!(kind, ErrorKind::BadTag) {
        return Failure::Key;
    }
    if matches!(kind, ErrorKind::BufferTooSmall { .. }) {
        return Failure::TooLong;
    }
    Failure::Garbled(if matches!(kind, ErrorKind::Replay) {
        "an answer that was heard before"
    } else if matches!(kind, ErrorKind::Unsupported) {
        "something that is not supported"
    } else {
        "an answer that cannot be read"
    })
}

/// IEC 62056-53, 7.3.7.3 and the diagnostics of ACSE.
fn of_rejection(result: AssociationResult, diagnostic: Diagnostic) -> &'static str {
    if result == AssociationResult::RejectedTransient {
        return "not now: it is busy";
    }
    const WORDS: [(UserDiagnostic, &str); 5] = [
        (
            UserDiagnostic::AuthenticationFailure,
            "wrong password or key",
        ),
        (
            UserDiagnostic::AuthenticationRequired,
            "it asks for a password or keys",
        ),
        (
            UserDiagnostic::AuthenticationMechanismNameRequired,
            "it asks for a password or keys",
        ),
        (
            UserDiagnostic::AuthenticationMechanismNameNotRecognised,
            "it does not know this kind of authentication",
        ),
        (
            UserDiagnostic::ApplicationContextNameNotSupported,
            "it wants another encryption",
        ),
    ];
    WORDS
        .iter()
        .find(|(known, _)| diagnostic == Diagnostic::User(*known))
        .map_or("without a reason", |(_, words)| words)
}

fn of_exception(exception: &ExceptionResponse) -> Failure {
    if exception.service_error == ServiceError::InvocationCounterError {
        return Failure::Counter(exception.expected_invocation_counter);
    }
    if exception.service_error == ServiceError::DecipheringError {
        return Failure::Key;
    }
    if exception.service_error == ServiceError::PduTooLong {
        return Failure::TooLong;
    }
    Failure::Refused("it does not permit what was asked")
}

/// IEC 62056-53, `Data-Access-Result`.
fn of_access(code: u8) -> &'static str {
    match code {
        1 => "a fault of the meter",
        2 => "not now",
        3 => "this client may not read it",
        4 => "the meter does not have it",
        9 => "it is of another class",
        11 => "it is not available",
        12 => "it has another type",
        13 => "this association cannot reach it",
        _ => "the meter does not tell it",
    }
}

impl Trouble for Failure {
    fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) | Self::CounterNotKept(_) => "counter",
            Self::Garbled(_) => "garbled",
            Self::Key => "key",
            Self::Line(_) => "line_down",
            Self::Refused(_) => "refused",
            Self::Silence => "timeout",
            Self::TooLong => "too_long",
        }
    }

    fn is_silence(&self) -> bool {
        *self == Self::Silence
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counter(Some(expected)) => write!(
                f,
                "the meter has seen higher invocation counters; it says that it expects {expected}"
            ),
            Self::Counter(None) => f.write_str("the meter has seen higher invocation counters"),
            Self::CounterNotKept(why) => write!(f, "the invocation counter cannot be kept: {why}"),
            Self::Garbled(what) => write!(f, "the meter sends {what}"),
            Self::Key => f.write_str("wrong key: one side cannot decipher the other"),
            Self::Line(words) => f.write_str(words),
            Self::Refused(why) => write!(f, "the meter refuses: {why}"),
            Self::Silence => f.write_str("the meter does not answer"),
            Self::TooLong => f.write_str("more than is read at once"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Line(_) => Self::Unreachable,
            Failure::Silence => Self::Timeout,
            Failure::Counter(_)
            | Failure::CounterNotKept(_)
            | Failure::Garbled(_)
            | Failure::Key
            | Failure::Refused(_)
            | Failure::TooLong => Self::Device(failure.to_string()),
        }
    }
}
