//! `[bus.NAME]`: one owner task per physical line or endpoint; its devices share the queue.

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bus {
    /// RTU frames in a TCP stream, as simple serial servers send them.
    RtuOverTcp(TcpBus),
    Serial(SerialBus),
    /// Modbus TCP.
    Tcp(TcpBus),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SerialBus {
    /// Device file, required; a name that survives re-plugging. Example: `"/dev/serial/by-id/usb-…"`.
    pub device: Option<String>,
    /// Speed, data bits, parity, stop bits. Default: `"9600-8E1"`.
    pub line: Option<String>,
    /// Who switches the direction of an RS-485 driver. Default: `"auto"`.
    pub rs485: Option<Rs485>,
    /// Silence before a request in characters, 1.5–100; above 19200 Bd at least 1.75 ms. Default: 3.5.
    pub silence_chars: Option<f64>,
    /// Extra pause between requests in milliseconds, 0–10000. Default: 0.
    pub gap_ms: Option<u64>,
    /// Pause between opening the port and the first request in milliseconds, 0–10000. Default: 0.
    pub connect_pause_ms: Option<u64>,
    /// Pause after a write to all devices (unit 0) in milliseconds, 0–10000. Default: 200.
    pub broadcast_pause_ms: Option<u64>,
    /// The line returns our own bytes: read them back and compare. Default: false.
    pub echo: Option<bool>,
    /// 8N1 on the wire, parity bit in software, for ptys and cheap heads. Default: false.
    pub software_parity: Option<bool>,
    /// Pauses before the line is opened again. Default: `{ first_ms = 500, max_ms = 30000 }`.
    pub reopen: Reopen,
    /// Share of the bus time that polls keep against writes, 0–0.9. Default: 0.2.
    pub poll_floor: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpBus {
    /// `HOST:PORT`, required. Example: `"192.0.2.20:502"`.
    pub address: Option<String>,
    /// Extra pause between requests in milliseconds, 0–10000. Default: 0.
    pub gap_ms: Option<u64>,
    /// Pause between connecting and the first request in milliseconds, 0–10000. Default: 0.
    pub connect_pause_ms: Option<u64>,
    /// Idle time in milliseconds after which the connection is closed until it is needed again,
    /// 10–600000, for devices that accept one client at a time. Default: it is kept.
    pub close_after_ms: Option<u64>,
    /// Pauses before the connection is opened again. Default: `{ first_ms = 500, max_ms = 30000 }`.
    pub reopen: Reopen,
    /// Share of the bus time that polls keep against writes, 0–0.9. Default: 0.2.
    pub poll_floor: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reopen {
    /// First pause in milliseconds, 10–600000. Default: 500.
    pub first_ms: Option<u64>,
    /// Longest pause in milliseconds, not below the first. Default: 30000.
    pub max_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Rs485 {
    /// The adapter does it by itself.
    Adapter,
    /// The adapter, or the kernel where its device tree says so.
    Auto,
    /// The kernel's serial driver (`TIOCSRS485`).
    Kernel,
    /// The agent, by RTS: active while sending.
    RtsHigh,
}
