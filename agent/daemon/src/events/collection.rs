//! What one instance of object 20 holds: the newest lines of its class since LogStart.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use lamplighter_lwm2m::format::{self, ContentFormat, Node, RecordTime};
use lamplighter_model::{
    InstancePath, Now, Path, ResourceInstanceId, Value, device::Fault, object::Definitions,
};
use serde::{Deserialize, Serialize};

use super::entry::{Class, Entry};

pub(crate) const OBJECT: u16 = 20;
pub(crate) const DATA: u16 = 4014;
pub(crate) const INCREMENT: u16 = 4016;

/// Bytes of the lines of one collection; the oldest leave first. Two instances read at once are
/// below 8192 bytes in TLV, which is the most that an unmodified Leshan takes.
const MAX_DATA: usize = 3500;

/// Servers of which is remembered what they were told; more there cannot be.
const MAX_SERVERS: usize = 64;

/// LogClass that holds all others.
const GENERIC: u8 = 0;

/// What the lines are told in (LogDataFormat).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Format {
    Cbor,
    Json,
    /// Text, one line an event.
    #[default]
    Plain,
    Tlv,
}

/// One instance.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Collection {
    class: u8,
    format: Format,
    is_running: bool,
    /// Events of this class have not been logged since LogStart: there were too many at once.
    has_gaps: bool,
    /// Lines have left since LogStart, because there was no room.
    is_cut: bool,
    entries: VecDeque<Entry>,
    /// LogDataIncrementalMinimumSendInterval, in seconds; 0: nothing is sent.
    #[serde(default)]
    interval_s: u32,
    /// The last event that each server was sent, by the server's name.
    #[serde(default)]
    sent: BTreeMap<String, u64>,
}

/// What a server was not sent yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Increment {
    pub(crate) data: Vec<u8>,
    /// The shortest time between two.
    pub(crate) every: Duration,
    /// The last event in it.
    pub(crate) last: u64,
}

impl Collection {
    /// One that collects everything of a class from the first start on.
    pub(crate) const fn of(class: Option<Class>) -> Self {
        Self {
            class: match class {
                Some(class) => class.number(),
                None => GENERIC,
            },
            format: Format::Plain,
            is_running: true,
            has_gaps: false,
            is_cut: false,
            entries: VecDeque::new(),
            interval_s: 0,
            sent: BTreeMap::new(),
        }
    }

    pub(crate) fn take(&mut self, entry: &Entry) {
        if !self.is_running || !self.wants(entry.class) {
            return;
        }
        self.entries.push_back(entry.clone());
        while self.entries.iter().map(size).sum::<usize>() > MAX_DATA {
            self.entries.pop_front();
            self.is_cut = true;
        }
    }

    /// Something of the class was not logged.
    pub(crate) fn miss(&mut self, class: Class) {
        self.has_gaps |= self.is_running && self.wants(class);
    }

    /// LogStart; `extends`: what is there stays.
    pub(crate) fn start(&mut self, extends: bool) {
        self.is_running = true;
        if !extends {
            self.clear();
        }
    }

    /// LogStop.
    pub(crate) fn stop(&mut self, empties: bool) {
        self.is_running = false;
        if empties {
            self.clear();
        }
    }

    pub(crate) const fn class(&self) -> u8 {
        self.class
    }

    /// What was collected of another class stays until the next LogStart.
    pub(crate) fn set_class(&mut self, class: i64) -> Result<(), Fault> {
        let known = Class::ALL.map(Class::number).into_iter().chain([GENERIC]);
        let found = known.into_iter().find(|known| i64::from(*known) == class);
        self.class = found.ok_or_else(|| {
            Fault::BadValue("there are 0 (all), 1 (system), 2 (security) and 3 (event)".to_owned())
        })?;
        Ok(())
    }

    pub(crate) const fn format(&self) -> u8 {
        match self.format {
            Format::Plain => 0,
            Format::Tlv => 1,
            Format::Json => 2,
            Format::Cbor => 3,
        }
    }

    pub(crate) fn set_format(&mut self, format: i64) -> Result<(), Fault> {
        self.format = match format {
            0 => Format::Plain,
            1 => Format::Tlv,
            2 => Format::Json,
            3 => Format::Cbor,
            _ => {
                let words = "there are 0 (text), 1 (TLV), 2 (JSON) and 3 (CBOR)";
                return Err(Fault::BadValue(words.to_owned()));
            }
        };
        Ok(())
    }

    pub(crate) const fn interval_s(&self) -> u32 {
        self.interval_s
    }

    pub(crate) fn set_interval(&mut self, seconds: u64) -> Result<(), Fault> {
        let words = "the interval is longer than anybody waits";
        let seconds = u32::try_from(seconds);
        self.interval_s = seconds.map_err(|_| Fault::BadValue(words.to_owned()))?;
        Ok(())
    }

    /// LogDataIncremental of one server: what has come since it was last sent anything; `None` where
    /// that is nothing, or nothing is to be sent.
    pub(crate) fn increment(&self, instance: u16, server: &str, now: Now) -> Option<Increment> {
        let sent = self.sent.get(server).copied().unwrap_or(0);
        let last = self.entries.back().map(|entry| entry.id)?;
        let is_due = self.interval_s > 0 && last > sent;
        is_due.then(|| {
            let entries = self.entries.iter().filter(|entry| entry.id > sent);
            let data = self.encoded(entries.collect(), INCREMENT, instance, now);
            let every = Duration::from_secs(self.interval_s.into());
            Increment { data, every, last }
        })
    }

    /// A server has everything up to this event: its LogDataIncremental is empty (lwm2m/70).
    pub(crate) fn was_sent(&mut self, server: &str, last: u64) {
        if self.sent.len() >= MAX_SERVERS && !self.sent.contains_key(server) {
            self.sent.pop_first();
        }
        self.sent.insert(server.to_owned(), last);
    }

    /// LogStatus: bit 0 stopped, 1 there is data, 2 error: events are missing, 3 increments are sent,
    /// 7 (ours): the oldest have left.
    pub(crate) fn status(&self) -> u8 {
        let bits = [
            (0, !self.is_running),
            (1, !self.entries.is_empty()),
            (2, self.has_gaps),
            (3, self.interval_s > 0),
            (7, self.is_cut),
        ];
        bits.into_iter()
            .fold(0, |status, (bit, is_set)| status | u8::from(is_set) << bit)
    }

    /// LogData. In the formats of LwM2M it is what a Read of this resource would give if it had an
    /// instance with a text for each event.
    pub(crate) fn data(&self, instance: u16, now: Now) -> Vec<u8> {
        self.encoded(self.entries.iter().collect(), DATA, instance, now)
    }

    fn encoded(&self, entries: Vec<&Entry>, resource: u16, instance: u16, now: Now) -> Vec<u8> {
        let lines: Vec<String> = entries.iter().map(|entry| entry.line(now)).collect();
        let format = match self.format {
            Format::Plain => return lines.join("\n").into_bytes(),
            Format::Cbor => ContentFormat::Lwm2mCbor,
            Format::Json => ContentFormat::Lwm2mJson,
            Format::Tlv => ContentFormat::Tlv,
        };
        let path = InstancePath::new(OBJECT, instance).resource(resource);
        let numbers = (0..=u16::MAX).map(ResourceInstanceId);
        let values = numbers.zip(lines.into_iter().map(Value::String));
        let nodes: Vec<Node> = if format.has_time() {
            let dated = entries.iter().zip(values);
            dated
                .map(|(entry, value)| Node {
                    time: entry.time(now).map(RecordTime::Absolute),
                    ..Node::multiple(path, vec![value])
                })
                .collect()
        } else {
            vec![Node::multiple(path, values.collect())]
        };
        // As texts, not as the bytes that the definition of LogData has.
        let none = Definitions::default();
        format::encode(format, Path::Resource(path), "", &nodes, &none).unwrap_or_default()
    }

    const fn wants(&self, class: Class) -> bool {
        self.class == GENERIC || self.class == class.number()
    }

    fn clear(&mut self) {
        self.entries.clear();
        (self.has_gaps, self.is_cut) = (false, false);
    }
}

/// Bytes of a line and its end. The time has the same length, whenever it gets known.
fn size(entry: &Entry) -> usize {
    const TIME: usize = "2026-08-01T12:00:00.000Z".len();
    let unknown = Now {
        boot: lamplighter_model::BootId(u32::MAX),
        mono: Duration::ZERO,
        unix: None,
    };
    entry.line(unknown).len() + TIME + 1
}

#[cfg(test)]
mod tests {
    use lamplighter_lwm2m::format::Content;

    use super::*;
    use crate::{events::News, fake::now_at};

    fn entry(id: u64, class: Class) -> Entry {
        let news = News::new(class, "refused").about("/3/0/4").by("server b");
        Entry::new(id, news.text("execute: 4.01"), now_at(id))
    }

    fn filled(format: i64) -> Collection {
        let mut collection = Collection::of(Some(Class::Security));
        collection.set_format(format).unwrap();
        collection.take(&entry(1, Class::Security));
        collection.take(&entry(2, Class::System));
        collection.take(&entry(3, Class::Security));
        collection
    }

    const FIRST: &str =
        "1970-01-01T00:00:01.000Z security refused /3/0/4 by server b: execute: 4.01";
    const SECOND: &str =
        "1970-01-01T00:00:03.000Z security refused /3/0/4 by server b: execute: 4.01";

    #[test]
    fn the_lines_of_its_class_are_a_text_by_default() {
        let collection = filled(0);
        let text = format!("{FIRST}\n{SECOND}");
        assert_eq!(collection.data(0, now_at(9)), text.into_bytes());
        assert_eq!(collection.status(), 0b10);
    }

    #[test]
    fn the_formats_of_lwm2m_hold_a_text_for_each_event() {
        let path = InstancePath::new(20, 0).resource(4014);
        for (number, format) in [
            (1, ContentFormat::Tlv),
            (2, ContentFormat::Lwm2mJson),
            (3, ContentFormat::Lwm2mCbor),
        ] {
            let data = filled(number).data(0, now_at(9));
            let none = Definitions::default();
            let decoded = format::decode(format, path.into(), "", &data, &none).unwrap();
            // Without a definition TLV shows bytes.
            let text = |value: &Value| {
                if let Value::Opaque(bytes) = value {
                    return String::from_utf8(bytes.clone()).unwrap();
                }
                value.to_string()
            };
            let lines: Vec<String> = decoded
                .nodes
                .iter()
                .flat_map(|node| match &node.content {
                    Content::Multiple(values) => values.clone(),
                    Content::Single(value) => panic!("{value:?}"),
                })
                .map(|(_, value)| text(&value))
                .collect();
            assert_eq!(lines, [FIRST, SECOND], "{format:?}");
            assert_eq!(decoded.nodes[0].time.is_some(), format.has_time());
        }
    }

    #[test]
    fn what_is_stopped_stays_and_start_empties_or_extends_it() {
        let mut collection = filled(0);
        collection.stop(false);
        collection.take(&entry(4, Class::Security));
        assert_eq!(collection.status(), 0b11);
        collection.start(true);
        collection.take(&entry(5, Class::Security));
        let lines = |collection: &Collection| {
            let data = collection.data(0, now_at(9));
            let text = String::from_utf8(data).unwrap();
            text.lines().map(|line| line[17..19].to_owned()).collect()
        };
        let seconds: Vec<String> = lines(&collection);
        assert_eq!(seconds, ["01", "03", "05"]);
        collection.start(false);
        assert_eq!(
            (collection.status(), collection.data(0, now_at(9)).len()),
            (0, 0)
        );
        collection.take(&entry(6, Class::Security));
        collection.stop(true);
        assert_eq!(collection.status(), 0b01);
    }

    #[test]
    fn the_oldest_leave_first_and_that_can_be_seen() {
        let mut collection = Collection::of(None);
        for id in 1..200 {
            collection.take(&entry(id, Class::Event));
        }
        let data = collection.data(1, now_at(200));
        assert!(
            data.len() <= MAX_DATA && data.len() > MAX_DATA / 2,
            "{}",
            data.len()
        );
        let text = String::from_utf8(data).unwrap();
        assert!(text.lines().last().unwrap().contains("00:03:19"), "{text}");
        assert_eq!(collection.status(), 0b1000_0010);
    }

    #[test]
    fn each_server_is_sent_what_it_has_not_been_sent() {
        let mut collection = filled(0);
        let due = |collection: &Collection, server: &str| {
            let increment = collection.increment(0, server, now_at(9))?;
            let text = String::from_utf8(increment.data).unwrap();
            Some((text.lines().count(), increment.last))
        };
        assert_eq!(due(&collection, "a"), None, "nobody has asked for it");
        collection.set_interval(60).unwrap();
        assert_eq!(collection.status(), 0b1010);
        assert_eq!(due(&collection, "a"), Some((2, 3)));
        collection.was_sent("a", 3);
        assert_eq!(due(&collection, "a"), None, "it is empty");
        assert_eq!(due(&collection, "b"), Some((2, 3)));
        collection.take(&entry(4, Class::Security));
        assert_eq!(due(&collection, "a"), Some((1, 4)));
        assert_eq!(due(&collection, "b"), Some((3, 4)));
        collection.start(false);
        assert_eq!(due(&collection, "b"), None);
        collection.set_interval(0).unwrap();
        collection.take(&entry(5, Class::Security));
        assert_eq!(due(&collection, "a"), None);
        assert_eq!(collection.status(), 0b10);
        let long = collection.set_interval(u64::MAX);
        assert!(matches!(long, Err(Fault::BadValue(_))));
    }

    #[test]
    fn an_increment_stands_in_the_format_of_the_data() {
        let mut collection = filled(3);
        collection.set_interval(1).unwrap();
        collection.was_sent("a", 1);
        let increment = collection.increment(0, "a", now_at(9)).unwrap();
        let path = InstancePath::new(20, 0).resource(INCREMENT);
        let (cbor, none) = (ContentFormat::Lwm2mCbor, Definitions::default());
        let decoded = format::decode(cbor, path.into(), "", &increment.data, &none).unwrap();
        let text = (ResourceInstanceId(0), Value::String(SECOND.to_owned()));
        assert_eq!(decoded.nodes[0].content, Content::Multiple(vec![text]));
    }

    #[test]
    fn it_is_remembered_of_no_more_servers_than_there_can_be() {
        let mut collection = filled(0);
        (0..1000).for_each(|number| collection.was_sent(&format!("server {number}"), 1));
        assert_eq!(collection.sent.len(), MAX_SERVERS);
    }

    #[test]
    fn what_was_not_logged_is_an_error_of_the_collection() {
        let mut collection = Collection::of(Some(Class::Security));
        collection.miss(Class::Event);
        assert_eq!(collection.status(), 0);
        collection.miss(Class::Security);
        assert_eq!(collection.status(), 0b100);
        collection.start(false);
        assert_eq!(collection.status(), 0);
    }

    #[test]
    fn a_class_or_a_format_that_nobody_has_is_a_bad_value() {
        let mut collection = Collection::of(None);
        for class in [-1, 4, 6, 100, 255, 256] {
            assert!(
                matches!(collection.set_class(class), Err(Fault::BadValue(_))),
                "{class}"
            );
        }
        for format in [-1, 4, 255] {
            assert!(
                matches!(collection.set_format(format), Err(Fault::BadValue(_))),
                "{format}"
            );
        }
        assert_eq!((collection.class(), collection.format()), (0, 0));
    }
}
