//! DLMS/COSEM meters over HDLC, several on one line, or over the wrapper: the server of `dlms-cosem-rs`
//! with registers that tests change, and faults on demand.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dlms_cosem_rs::{
    acse::AuthMechanism,
    axdr::Data,
    codec::{Encode as _, Result as CodecResult, Writer},
    cosem::AttributeAccess,
    obis::Obis,
    security::{
        KeyRing, RandomSource, RustCryptoProvider, Secret, SecurityPolicy, SecuritySuite,
        SystemTitle,
    },
    server::{ObjectStore, Server, ServerConfig, StoreResult},
    transport::{
        hdlc::{
            Address, Connection, Event, Found, Frame, Framer, LLC_REQUEST, LLC_RESPONSE,
            Parameters, Reassembler, Role,
        },
        wrapper::{StreamReassembler, Wpdu},
    },
    xdlms::{DataAccessResult, SelectiveAccess},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a meter asks its clients for; the public client, 16, may always read a little.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DlmsSecurity {
    None,
    Password(&'static [u8]),
    Gmac {
        encryption_key: [u8; 16],
        authentication_key: [u8; 16],
    },
}

/// How a meter is built.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DlmsMeterConfig {
    /// On a line with several; 0 where the address has no physical part.
    pub physical: u16,
    pub device_name: &'static str,
    pub security: DlmsSecurity,
    pub system_title: [u8; 8],
    /// Longest message; longer values are told in blocks.
    pub max_pdu: u16,
    /// Longest information field of its frames.
    pub max_information: u16,
}

/// What an attribute holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Attribute {
    Number(i64),
    Octets(Vec<u8>),
    /// This client may not read it.
    Forbidden,
    ScalerUnit(i8, u8),
}

/// What can go wrong, for one answer each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DlmsFault {
    /// The connection ends.
    HangUp,
    Mute,
    /// Something else in front of the answer.
    Noise,
    WrongCheck,
}

/// Where attributes are: class, logical name, number.
type Place = (u16, [u8; 6], i8);

/// The meters of one line; clones are the same ones.
#[derive(Clone)]
pub struct DlmsMeters(Arc<Mutex<Vec<Meter>>>);

struct Meter {
    config: DlmsMeterConfig,
    objects: Objects,
    /// What the public client talks to.
    public: Engine,
    secured: Engine,
    /// HDLC links by the address of the client.
    links: BTreeMap<u8, Connection>,
    faults: VecDeque<DlmsFault>,
    associations: u64,
}

type Engine = Box<Server<Store, RustCryptoProvider<Entropy>, 8192>>;
type Objects = Arc<Mutex<BTreeMap<Place, Attribute>>>;

/// The same objects for every client.
struct Store(Objects);

/// Challenges are the same in every run.
struct Entropy;

const PUBLIC: u8 = 16;
/// Class Data: the invocation counter that was seen last.
pub const COUNTER: [u8; 6] = [0, 0, 43, 1, 0, 255];
const DEVICE_NAME: [u8; 6] = [0, 0, 42, 0, 0, 255];
const APDU_MAX: usize = 8192;

impl Default for DlmsMeterConfig {
    fn default() -> Self {
        Self {
            physical: 0,
            device_name: "LMP0000000000001",
            security: DlmsSecurity::None,
            system_title: *b"LMP\0\0\0\0\x01",
            max_pdu: 1024,
            max_information: 128,
        }
    }
}

impl DlmsMeters {
    /// Each with energy 1-0:1.8.0 = 12345678 Wh, power 1-0:16.7.0 = 350 W, voltage 1-0:32.7.0 = 230.1 V.
    pub fn new(meters: impl IntoIterator<Item = DlmsMeterConfig>) -> Self {
        let meters = meters.into_iter().map(Meter::new).collect();
        Self(Arc::new(Mutex::new(meters)))
    }

    /// Changes an attribute of the meter in this place.
    pub fn set(&self, meter: usize, place: Place, attribute: Attribute) {
        if let Some(meter) = self.lock().get(meter) {
            lock(&meter.objects).insert(place, attribute);
        }
    }

    /// Faults of its next answers.
    pub fn inject(&self, meter: usize, faults: &[DlmsFault]) {
        if let Some(meter) = self.lock().get_mut(meter) {
            meter.faults.extend(faults);
        }
    }

    /// How often somebody has asked for an association.
    pub fn associations(&self, meter: usize) -> u64 {
        self.lock().get(meter).map_or(0, |meter| meter.associations)
    }

    /// Highest counter that a client has used.
    pub fn seen_counter(&self, meter: usize) -> Option<u32> {
        self.lock().get(meter)?.secured.peer_invocation_counter()
    }

    /// Answers HDLC frames until the other end closes.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn serve_hdlc(
        self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut framer = Framer::new();
        let mut received = Vec::new();
        let mut chunk = [0; 512];
        loop {
            let count = stream.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            received.extend_from_slice(&chunk[..count]);
            while let Ok(Found::Frame { frame, consumed }) = framer.next_frame(&received) {
                let answer = self.frame(&frame);
                received.drain(..consumed);
                match answer {
                    Some(answer) => stream.write_all(&answer).await?,
                    None => return Ok(()),
                }
            }
        }
    }

    /// Answers the first meter's wrapper until the other end closes.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn serve_wrapper(
        self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let reassembler = StreamReassembler::new(u16::try_from(APDU_MAX).unwrap_or(u16::MAX));
        let mut received = Vec::new();
        let mut chunk = [0; 512];
        loop {
            let count = stream.read(&mut chunk).await?;
            if count == 0 {
                self.with_first(|meter| meter.release());
                return Ok(());
            }
            received.extend_from_slice(&chunk[..count]);
            loop {
                let (client, server, apdu, used) = match reassembler.next_pdu(&received) {
                    Ok(Some((wpdu, used))) => {
                        let header = wpdu.header;
                        (header.source, header.destination, wpdu.apdu.to_vec(), used)
                    }
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                };
                received.drain(..used);
                let client = u8::try_from(client).unwrap_or(u8::MAX);
                let Some((fault, answer)) = self.with_first(|meter| meter.apdu(client, &apdu))
                else {
                    return Ok(());
                };
                let mut framed = Vec::new();
                if let Ok(wpdu) = Wpdu::new(server, client.into(), &answer) {
                    wpdu.encode(&mut framed)
                        .map_err(|error| io::Error::other(error.to_string()))?;
                }
                match fault {
                    Some(DlmsFault::HangUp) => return Ok(()),
                    Some(DlmsFault::Mute) => continue,
                    Some(DlmsFault::Noise) => framed.insert(0, 0x55),
                    // What there is to check is in the message itself.
                    Some(DlmsFault::WrongCheck) => {
                        framed.iter_mut().skip(8).for_each(|byte| *byte ^= 1)
                    }
                    None => (),
                }
                stream.write_all(&framed).await?;
            }
        }
    }

    /// The answer to a frame; `None` where the connection ends.
    fn frame(&self, frame: &Frame<'_>) -> Option<Vec<u8>> {
        let physical = match frame.destination {
            Address::Single(_) => 0,
            Address::Double { lower, .. } => lower.into(),
            Address::Quad { lower, .. } => lower,
        };
        let mut meters = self.lock();
        let meant = meters
            .iter_mut()
            .find(|meter| meter.config.physical == physical);
        meant.map_or(Some(Vec::new()), |meter| meter.frame(frame))
    }

    fn with_first<T>(&self, act: impl FnOnce(&mut Meter) -> T) -> Option<T> {
        self.lock().first_mut().map(act)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Meter>> {
        lock(&self.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Meter {
    fn new(config: DlmsMeterConfig) -> Self {
        let register = |name: [u8; 6], value, scaler, unit| {
            [
                ((3, name, 2), Attribute::Number(value)),
                ((3, name, 3), Attribute::ScalerUnit(scaler, unit)),
            ]
        };
        let mut objects: BTreeMap<Place, Attribute> = [
            register([1, 0, 1, 8, 0, 255], 12_345_678, 0, 30),
            register([1, 0, 16, 7, 0, 255], 350, 0, 27),
            register([1, 0, 32, 7, 0, 255], 2301, -1, 35),
        ]
        .into_iter()
        .flatten()
        .collect();
        let name = Attribute::Octets(config.device_name.as_bytes().to_vec());
        objects.insert((1, DEVICE_NAME, 2), name);
        objects.insert((1, COUNTER, 2), Attribute::Number(0));
        let objects: Objects = Arc::new(Mutex::new(objects));
        Self {
            public: engine(&config, DlmsSecurity::None, &objects),
            secured: engine(&config, config.security, &objects),
            config,
            objects,
            links: BTreeMap::new(),
            faults: VecDeque::new(),
            associations: 0,
        }
    }

    fn release(&mut self) {
        self.public.reset();
        self.secured.reset();
        self.links.clear();
    }

    /// The answer to a message, and what is to go wrong with it.
    fn apdu(&mut self, client: u8, apdu: &[u8]) -> (Option<DlmsFault>, Vec<u8>) {
        const AARQ: u8 = 0x60;
        self.associations += u64::from(apdu.first() == Some(&AARQ));
        let engine = if client == PUBLIC {
            &mut self.public
        } else {
            &mut self.secured
        };
        let mut out = vec![0; APDU_MAX];
        // What it cannot read, a meter leaves without an answer.
        let length = engine.handle(apdu, &mut out).unwrap_or(0);
        out.truncate(length);
        if let Some(seen) = self.secured.peer_invocation_counter() {
            lock(&self.objects).insert((1, COUNTER, 2), Attribute::Number(seen.into()));
        }
        (self.faults.pop_front(), out)
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Option<Vec<u8>> {
        let Address::Single(client) = frame.source else {
            return Some(Vec::new());
        };
        let parameters = Parameters {
            max_info_tx: self.config.max_information,
            // Requests come in one frame.
            max_info_rx: 512,
            ..Parameters::default()
        };
        let mut link = *self.links.entry(client).or_insert_with(|| {
            Connection::new(Role::Server, frame.destination, frame.source, parameters)
        });
        let mut lsdu = vec![0; APDU_MAX];
        let mut into = Reassembler::new(&mut lsdu);
        let event = link.handle(frame, &mut into);
        let mut out = vec![0; APDU_MAX];
        let answer = match event {
            Ok(Event::AcknowledgeRequired) => {
                let length = link.acknowledge(&mut out).unwrap_or(0);
                out[..length].to_vec()
            }
            Ok(Event::Lsdu) => {
                let request = into
                    .lsdu()
                    .strip_prefix(&LLC_REQUEST)
                    .unwrap_or(&[])
                    .to_vec();
                let (fault, answer) = self.apdu(client, &request);
                let mut frames = in_frames(&mut link, &answer, &mut out);
                match fault {
                    Some(DlmsFault::HangUp) => return None,
                    Some(DlmsFault::Mute) => frames.clear(),
                    Some(DlmsFault::Noise) => {
                        frames.splice(0..0, [0x55, 0x7E, 0xA0]).for_each(drop)
                    }
                    Some(DlmsFault::WrongCheck) => {
                        if let Some(byte) = frames.get_mut(12) {
                            *byte ^= 1;
                        }
                    }
                    None => (),
                }
                frames
            }
            Ok(Event::Connected | Event::Disconnected | Event::Idle | Event::PollRequired)
            | Err(_) => Vec::new(),
        };
        self.links.insert(client, link);
        Some(answer)
    }
}

fn in_frames(link: &mut Connection, answer: &[u8], out: &mut [u8]) -> Vec<u8> {
    if answer.is_empty() {
        return Vec::new();
    }
    let lsdu = [&LLC_RESPONSE[..], answer].concat();
    let mut frames = Vec::new();
    if let Ok(mut segments) = link.segmenter(&lsdu) {
        while let Ok(Some(length)) = link.next_frame(&mut segments, out) {
            frames.extend_from_slice(&out[..length]);
        }
    }
    frames
}

fn engine(config: &DlmsMeterConfig, security: DlmsSecurity, objects: &Objects) -> Engine {
    let (mechanism, password, policy, keys) = match security {
        DlmsSecurity::None => (
            AuthMechanism::None,
            None,
            SecurityPolicy::NONE,
            KeyRing::default(),
        ),
        DlmsSecurity::Password(password) => (
            AuthMechanism::Low,
            Secret::new(password).ok(),
            SecurityPolicy::NONE,
            KeyRing::default(),
        ),
        DlmsSecurity::Gmac {
            encryption_key,
            authentication_key,
        } => (
            AuthMechanism::HighGmac,
            None,
            SecurityPolicy::authenticated_encrypted(SecuritySuite::Suite0),
            KeyRing::new(encryption_key, authentication_key),
        ),
    };
    let server = ServerConfig {
        system_title: Some(SystemTitle::new(config.system_title)),
        mechanism,
        password,
        security: policy,
        max_pdu_size: config.max_pdu,
        ..ServerConfig::default()
    };
    let provider = RustCryptoProvider::with_rng(keys, Entropy);
    Box::new(Server::new(server, Store(Arc::clone(objects)), provider))
}

impl ObjectStore for Store {
    fn get_attribute(
        &self,
        class: u16,
        name: Obis,
        attribute: i8,
        _: Option<SelectiveAccess<'_>>,
        w: &mut dyn Writer,
    ) -> StoreResult<()> {
        let objects = lock(&self.0);
        let attribute = objects.get(&(class, name.0, attribute));
        match attribute.ok_or(DataAccessResult::ObjectUndefined)? {
            Attribute::Number(number) => match u32::try_from(*number) {
                Ok(number) => Data::DoubleLongUnsigned(number).encode(w),
                Err(_) => Data::Long64(*number).encode(w),
            },
            Attribute::Octets(bytes) => Data::OctetString(bytes).encode(w),
            Attribute::Forbidden => return Err(DataAccessResult::ReadWriteDenied),
            // A structure of an integer and an enumeration.
            Attribute::ScalerUnit(scaler, unit) => {
                w.write_bytes(&[2, 2, 0x0F, scaler.cast_unsigned(), 0x16, *unit])
            }
        }
        .map_err(|_| DataAccessResult::OtherReason)
    }

    fn attribute_access(&self, _: u16, _: Obis, _: i8) -> AttributeAccess {
        AttributeAccess::READ
    }
}

impl RandomSource for Entropy {
    fn fill(&self, out: &mut [u8]) -> CodecResult<()> {
        (0xB0u8..).zip(out).for_each(|(value, byte)| *byte = value);
        Ok(())
    }
}

impl fmt::Debug for DlmsMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DlmsMeters")
    }
}
