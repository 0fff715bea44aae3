//! Object 4, Connectivity Monitoring: which way messages take now. It follows the bearer in use; what
//! only a cellular one has is there as long as one is in use.

use std::collections::BTreeSet;

use lamplighter_model::{
    InstancePath, ResourceAddress, ResourceInstanceId, Sample, Stamp, Value, device::Declared,
};

use super::{at, fed::Fed, utilisation::Utilisation};
use crate::{
    bearer::{BearerFacts, BearerId, Board, Choice, Reason, Status},
    config::BearerKind,
};

pub(super) const INSTANCE: InstancePath = InstancePath::new(4, 0);

const BEARER: u16 = 0;
const AVAILABLE: u16 = 1;
const SIGNAL: u16 = 2;
const QUALITY: u16 = 3;
const ADDRESSES: u16 = 4;
const ROUTERS: u16 = 5;
const UTILISATION: u16 = 6;
const APN: u16 = 7;
const CELL: u16 = 8;
const NETWORK: u16 = 9;
const COUNTRY: u16 = 10;
const SNR: u16 = 11;
const AREA: u16 = 12;
/// Those that every box has.
pub(super) const RESOURCES: [u16; 4] = [BEARER, AVAILABLE, SIGNAL, ADDRESSES];

/// No more entries of each list than a person reads; a container host has hundreds of addresses.
const MAX_LIST: usize = 16;

// Values of 4/0/0 (lwm2m/70: 0–20 cellular, 21–40 wireless, 41–50 wired).
const LTE_FDD: u8 = 6;
const WLAN: u8 = 21;
const BLUETOOTH: u8 = 22;
const ETHERNET: u8 = 41;

/// dB by which a signal must change to be told, so that nobody who observes it hears of each breath.
const STEP: u32 = 3;

/// Error codes of 3/0/11.
pub(super) const CODES: [u8; 2] = [LOW_SIGNAL, IP_CONNECTIVITY];
const LOW_SIGNAL: u8 = 4;
const IP_CONNECTIVITY: u8 = 7;
/// dBm of the reference signal (RSRP) of LTE and NR, below which a link is about to be lost.
const LOW_REFERENCE: i32 = -110;
/// The same of the whole signal (RSSI, RSCP) of older networks.
const LOW_WHOLE: i32 = -105;

#[derive(Debug)]
pub(super) struct Connectivity {
    board: Board,
    fed: Fed,
    /// As it was told, and of which bearer.
    signal: Option<(BearerId, i32)>,
    pub(super) utilisation: Utilisation,
}

impl Connectivity {
    pub(super) fn new(board: Board, utilisation: Utilisation) -> Self {
        Self {
            board,
            fed: Fed::with(RESOURCES.map(|resource| at(INSTANCE, resource))),
            signal: None,
            utilisation,
        }
    }

    /// What is to be declared before what there is can be told, and what there is.
    pub(super) fn changed(&mut self, stamp: Stamp) -> (Option<Declared>, BTreeSet<u16>) {
        let samples = self.look(stamp);
        let resource = |sample: &Sample| sample.address.path.resource.0;
        (
            self.fed.follow(&samples),
            samples.iter().map(resource).collect(),
        )
    }

    /// What there is now.
    pub(super) fn look(&mut self, stamp: Stamp) -> Vec<Sample> {
        let all = self.board.all();
        let mut telling = Telling {
            stamp,
            samples: Vec::new(),
        };
        let is_connected = |facts: &&BearerFacts| facts.status == Status::Connected;
        let connected: BTreeSet<u8> = all.iter().filter(is_connected).map(code).collect();
        let shown = shown(&all);
        // Without any interface the box still talks to itself, as in the demo: that is a wire.
        let bearer = shown.map_or(ETHERNET, code);
        telling.one(BEARER, Some(number(bearer)));
        let available = if connected.is_empty() {
            BTreeSet::from([bearer])
        } else {
            connected
        };
        telling.list(AVAILABLE, available.into_iter().map(number));
        // Mandatory, and 0 where there is no radio.
        let signal = shown.and_then(|facts| self.steady(facts));
        telling.one(SIGNAL, Some(number(signal.unwrap_or(0))));
        let Some(facts) = shown else {
            telling.list(ADDRESSES, [Value::String("127.0.0.1".to_owned())]);
            return telling.samples;
        };
        telling.network(facts);
        let interface = facts.interface.as_deref();
        let utilisation = interface.and_then(|interface| self.utilisation.of(interface));
        telling.one(UTILISATION, utilisation.map(number));
        telling.one(QUALITY, facts.meta.quality.map(number));
        if facts.kind == BearerKind::Cellular {
            telling.cellular(facts);
        }
        telling.samples
    }

    /// Which of [`CODES`] hold.
    pub(super) fn errors(&mut self) -> BTreeSet<u8> {
        let all = self.board.all();
        let mut errors = BTreeSet::new();
        let is_lost = |facts: &BearerFacts| {
            facts.status == Status::Disconnected && facts.reason != Some(Reason::Untried)
        };
        let is_wanted = matches!(self.board.chosen().choice, Choice::Offline(_));
        if self.board.is_configured() && !is_wanted && all.iter().all(is_lost) {
            errors.insert(IP_CONNECTIVITY);
        }
        let current = all.iter().find(|facts| facts.is_current);
        if let Some(facts) = current.filter(|facts| facts.kind == BearerKind::Cellular) {
            // 4G and later tell their reference signal, which is weaker than all of it together.
            let lowest = match code(facts) {
                0..=4 => LOW_WHOLE,
                _ => LOW_REFERENCE,
            };
            let is_low = self.steady(facts).is_some_and(|signal| signal < lowest);
            errors.extend(is_low.then_some(LOW_SIGNAL));
        }
        errors
    }

    /// The signal, as it was told before unless it is another one.
    fn steady(&mut self, facts: &BearerFacts) -> Option<i32> {
        let signal = facts.meta.signal?;
        let told = self.signal.filter(|(id, _)| *id == facts.id);
        match told {
            Some((_, told)) if told.abs_diff(signal) < STEP => Some(told),
            Some(_) | None => {
                self.signal = Some((facts.id, signal));
                Some(signal)
            }
        }
    }
}

/// The one in use, else the one that could be.
fn shown(all: &[BearerFacts]) -> Option<&BearerFacts> {
    let current = all.iter().find(|facts| facts.is_current);
    let connected = || all.iter().find(|facts| facts.status == Status::Connected);
    current.or_else(connected).or_else(|| all.first())
}

/// As object 4 numbers it. There is no number for a phone: that of the way to it is told.
fn code(facts: &BearerFacts) -> u8 {
    match facts.kind {
        BearerKind::Cellular => {
            let technology = facts.meta.technology;
            technology.filter(|code| *code <= 9).unwrap_or(LTE_FDD)
        }
        BearerKind::TetherWifi | BearerKind::Wifi => WLAN,
        BearerKind::TetherBluetooth => BLUETOOTH,
        BearerKind::Ethernet | BearerKind::TetherUsb => ETHERNET,
    }
}

struct Telling {
    stamp: Stamp,
    samples: Vec<Sample>,
}

impl Telling {
    fn network(&mut self, facts: &BearerFacts) {
        let link = facts.link.as_ref();
        let v4 = link.iter().flat_map(|link| &link.v4).map(text);
        let v6 = link.iter().flat_map(|link| &link.v6).map(text);
        let mut addresses: Vec<Value> = v4.chain(v6).collect();
        if addresses.is_empty() {
            let unknown = || Value::String("127.0.0.1".to_owned());
            addresses.push(facts.address.as_ref().map_or_else(unknown, text));
        }
        self.list(ADDRESSES, addresses);
        let routers = link.iter().flat_map(|link| &link.gateways);
        self.list(ROUTERS, routers.map(text));
    }

    /// What nobody but a modem knows; of a phone it is not known, and what is known of a cell that was
    /// lost is not true any more.
    fn cellular(&mut self, facts: &BearerFacts) {
        let meta = &facts.meta;
        let apn = meta.apn.clone().map(Value::String);
        self.list(APN, apn);
        if meta.registered == Some(false) {
            return;
        }
        let cell = meta.cell.and_then(|cell| i64::try_from(cell).ok());
        self.one(CELL, cell.map(Value::Integer));
        let network = meta.operator.as_deref().and_then(network);
        self.one(NETWORK, network.map(|(_, network)| number(network)));
        self.one(COUNTRY, network.map(|(country, _)| number(country)));
        self.one(SNR, meta.snr.map(number));
        self.one(AREA, meta.area.map(number));
    }

    fn one(&mut self, resource: u16, value: Option<Value>) {
        let sample = value.map(|value| Sample::good(at_4(resource), value, self.stamp));
        self.samples.extend(sample);
    }

    fn list(&mut self, resource: u16, values: impl IntoIterator<Item = Value>) {
        for (index, value) in (0..).zip(values.into_iter().take(MAX_LIST)) {
            self.samples.push(Sample {
                index: Some(ResourceInstanceId(index)),
                ..Sample::good(at_4(resource), value, self.stamp)
            });
        }
    }
}

const fn at_4(resource: u16) -> ResourceAddress {
    at(INSTANCE, resource)
}

fn number(number: impl Into<i64>) -> Value {
    Value::Integer(number.into())
}

fn text(text: impl ToString) -> Value {
    Value::String(text.to_string())
}

/// Country and network of `21401`. Whether the network has two digits or three is lost: both are
/// numbers here.
fn network(operator: &str) -> Option<(u16, u16)> {
    let is_code = matches!(operator.len(), 5 | 6) && operator.bytes().all(|b| b.is_ascii_digit());
    let (country, network) = is_code.then(|| operator.split_at(3))?;
    Some((country.parse().ok()?, network.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        bearer::{Chosen, LinkFacts, Meta},
        fake::{self, now_at},
        status,
    };

    fn connectivity() -> Connectivity {
        let status = status::Status::new(fake::catalogue(), now_at(0));
        Connectivity::new(status.board(), Utilisation::new("/nowhere".into()))
    }

    fn with(all: Vec<BearerFacts>) -> Connectivity {
        let connectivity = connectivity();
        connectivity.board.see(all);
        connectivity
    }

    fn lan() -> BearerFacts {
        let link = LinkFacts {
            index: 2,
            interface: "eth0".to_owned(),
            is_up: true,
            v4: vec![[192, 168, 10, 50].into()],
            v6: vec!["2001:db8::50".parse().unwrap()],
            routes: Vec::new(),
            gateways: vec![[192, 168, 10, 1].into()],
            mtu: 1500,
        };
        BearerFacts {
            status: Status::Connected,
            reason: None,
            link: Some(link),
            ..fake::bearer(0, "lan")
        }
    }

    fn cell() -> BearerFacts {
        let meta = Meta {
            registered: Some(true),
            signal: Some(-97),
            quality: Some(-11),
            snr: Some(9),
            operator: Some("21401".to_owned()),
            cell: Some(0x083_F7CD),
            area: Some(0x31C5),
            technology: Some(7),
            apn: Some("iot.example".to_owned()),
            ..Meta::default()
        };
        BearerFacts {
            kind: BearerKind::Cellular,
            status: Status::Connected,
            reason: None,
            address: Some([10, 64, 64, 2].into()),
            meta,
            ..fake::bearer(1, "cell")
        }
    }

    fn current(facts: BearerFacts) -> BearerFacts {
        BearerFacts {
            is_current: true,
            is_urgent_only: false,
            ..facts
        }
    }

    /// `resource[/instance]=value`
    fn told(connectivity: &mut Connectivity) -> Vec<String> {
        let samples = connectivity.look(Stamp::default());
        let words = samples.into_iter().map(|sample| {
            let index = sample.index.map(|ResourceInstanceId(id)| format!("/{id}"));
            let resource = sample.address.path.resource.0;
            format!("{resource}{}={}", index.unwrap_or_default(), sample.value)
        });
        words.collect()
    }

    #[test]
    fn a_wire_has_no_radio_and_no_cell() {
        let mut connectivity = with(vec![current(lan()), cell()]);
        let expected = [
            "0=41",
            "1/0=7",
            "1/1=41",
            "2=0",
            "4/0=192.168.10.50",
            "4/1=2001:db8::50",
            "5/0=192.168.10.1",
        ];
        assert_eq!(told(&mut connectivity), expected);
    }

    #[test]
    fn a_modem_in_use_tells_its_network_and_takes_that_along_when_it_goes() {
        let mut connectivity = with(vec![lan(), current(cell())]);
        let expected = [
            "0=7",
            "1/0=7",
            "1/1=41",
            "2=-97",
            "4/0=10.64.64.2",
            "3=-11",
            "7/0=iot.example",
            "8=8648653",
            "9=1",
            "10=214",
            "11=9",
            "12=12741",
        ];
        assert_eq!(told(&mut connectivity), expected);
        let (declared, _) = connectivity.changed(Stamp::default());
        assert_eq!(declared.unwrap().added.len(), 7);
        connectivity.board.see(vec![current(lan()), cell()]);
        let (declared, resources) = connectivity.changed(Stamp::default());
        let gone = declared.unwrap().removed;
        let gone: Vec<_> = gone.iter().map(|at| at.path.resource.0).collect();
        assert_eq!(gone, [3, 7, 8, 9, 10, 11, 12]);
        assert_eq!(resources, BTreeSet::from([0, 1, 2, 4, 5]));
    }

    #[test]
    fn a_modem_without_a_network_has_no_cell() {
        let mut lost = current(cell());
        lost.meta.registered = Some(false);
        let told = told(&mut with(vec![lost]));
        assert_eq!(told.last().unwrap(), "7/0=iot.example");
    }

    #[test]
    fn of_a_phone_the_way_to_it_is_told() {
        for (kind, code) in [
            (BearerKind::TetherUsb, "0=41"),
            (BearerKind::TetherWifi, "0=21"),
            (BearerKind::TetherBluetooth, "0=22"),
        ] {
            let phone = BearerFacts {
                kind,
                ..current(lan())
            };
            assert_eq!(told(&mut with(vec![phone]))[0], code);
        }
    }

    #[test]
    fn every_mandatory_resource_has_a_value_without_any_bearer() {
        let expected = ["0=41", "1/0=41", "2=0", "4/0=127.0.0.1"];
        assert_eq!(told(&mut connectivity()), expected);
    }

    #[test]
    fn a_signal_is_told_in_steps() {
        let mut connectivity = with(vec![current(cell())]);
        let mut tell = |signal| {
            let mut facts = current(cell());
            facts.meta.signal = Some(signal);
            connectivity.board.see(vec![facts]);
            let told = told(&mut connectivity);
            told.into_iter()
                .find(|word| word.starts_with("2="))
                .unwrap()
        };
        let told = [-97, -98, -99, -100, -98, -97].map(&mut tell);
        assert_eq!(
            told,
            ["2=-97", "2=-97", "2=-97", "2=-100", "2=-100", "2=-97"]
        );
    }

    fn errors_at(technology: u8, signal: i32) -> Vec<u8> {
        let mut facts = current(cell());
        facts.meta.technology = Some(technology);
        facts.meta.signal = Some(signal);
        with(vec![facts]).errors().into_iter().collect()
    }

    #[test]
    fn a_low_signal_of_the_modem_in_use_is_error_4() {
        assert!(errors_at(6, -110).is_empty());
        assert_eq!(errors_at(6, -111), [4]);
        assert!(errors_at(2, -105).is_empty());
        assert_eq!(errors_at(2, -106), [4]);
        let mut unused = cell();
        unused.meta.signal = Some(-120);
        assert!(with(vec![current(lan()), unused]).errors().is_empty());
    }

    #[test]
    fn no_way_to_any_server_is_error_7_unless_that_was_asked_for() {
        let lost = |reason| BearerFacts {
            reason: Some(reason),
            ..fake::bearer(0, "lan")
        };
        let mut connectivity = connectivity();
        connectivity.board.see(vec![lost(Reason::NoLink)]);
        assert!(connectivity.errors().is_empty(), "nothing is configured");
        connectivity
            .board
            .configure(&[fake::configured_bearer("lan")], now_at(1));
        assert!(connectivity.errors().is_empty(), "nobody has tried yet");
        connectivity.board.show(lost(Reason::NoLink));
        assert_eq!(connectivity.errors(), BTreeSet::from([7]));
        let offline = Chosen {
            choice: Choice::Offline(Some(Duration::from_secs(60))),
            trial_until: None,
        };
        connectivity.board.choose(offline);
        assert!(connectivity.errors().is_empty());
        connectivity.board.choose(Chosen::default());
        connectivity.board.show(lan());
        assert!(connectivity.errors().is_empty());
    }

    #[test]
    fn an_operator_is_a_country_and_a_network() {
        assert_eq!(network("21401"), Some((214, 1)));
        assert_eq!(network("310410"), Some((310, 410)));
        for wrong in ["", "214", "2140199", "21é1", "Movistar"] {
            assert_eq!(network(wrong), None, "{wrong}");
        }
    }
}
