//! The one table of targets.

use std::time::Duration;

use lamplighter_lwm2m::format::ContentFormat;

use crate::{
    client, coap, devices, dlms, dtls, formats, mbus, meters, places, programs, saved, steps, texts,
};

/// Something that takes any bytes and must not panic.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    /// Changed inputs of one run in CI.
    pub changes: u64,
    /// More for one input is a find.
    pub patience: Duration,
    /// Longest input.
    pub longest: usize,
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target {
        name,
        run,
        changes: 20_000,
        patience: Duration::from_secs(2),
        longest: 4096,
    }
}

const fn costly(name: &'static str, run: fn(&[u8]), changes: u64) -> Target {
    Target {
        changes,
        patience: Duration::from_secs(60),
        ..target(name, run)
    }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("cbor", |bytes| formats::check(ContentFormat::Cbor, bytes)),
    costly("client_bootstrap", client::bootstrap, 500),
    costly("client_messages", client::messages, 1_000),
    costly("client_restart", client::restart, 500),
    costly("client_steps", steps::run, 30),
    target("coap_endpoint", coap::run),
    target("composite_paths", formats::paths),
    costly("config_text", texts::config, 200),
    costly("dlms_dialogue", dlms::run, 1_000),
    costly("dtls_certificates", dtls::certificates, 50),
    costly("dtls_credentials", dtls::credentials, 500),
    costly("dtls_handshake", dtls::handshake, 500),
    costly("dtls_records", dtls::records, 500),
    target("gpsd_line", places::gpsd),
    target("iec62056_telegram", devices::telegram),
    target("link", formats::links),
    target("lwm2m_cbor", |bytes| {
        formats::check(ContentFormat::Lwm2mCbor, bytes)
    }),
    target("lwm2m_json", |bytes| {
        formats::check(ContentFormat::Lwm2mJson, bytes)
    }),
    target("mbus_line", mbus::line),
    target("mbus_readout", mbus::readout),
    target("modbus_answer", devices::modbus),
    target("mqtt_message", programs::message),
    target("object_xml", texts::object_xml),
    target("nmea_line", places::nmea),
    target("opaque", |bytes| {
        formats::check(ContentFormat::Opaque, bytes)
    }),
    target("p1_line", meters::text),
    target("path_text", texts::path),
    target("program_line", programs::line),
    target("saved_records", saved::records),
    target("saved_samples", saved::samples),
    target("saved_site", saved::site),
    target("senml_cbor", |bytes| {
        formats::check(ContentFormat::SenmlCbor, bytes)
    }),
    target("senml_etch_cbor", |bytes| {
        formats::check(ContentFormat::SenmlEtchCbor, bytes)
    }),
    target("senml_etch_json", |bytes| {
        formats::check(ContentFormat::SenmlEtchJson, bytes)
    }),
    target("senml_json", |bytes| {
        formats::check(ContentFormat::SenmlJson, bytes)
    }),
    target("server_uri", texts::server_uri),
    target("sml_line", meters::sml),
    target("text", |bytes| formats::check(ContentFormat::Text, bytes)),
    target("tlv", |bytes| formats::check(ContentFormat::Tlv, bytes)),
    target("value_text", texts::value),
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
