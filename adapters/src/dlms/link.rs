//! How application data travel: in HDLC frames on a serial line, or behind the wrapper's header on TCP
//! (IEC 62056-46, -47).

use std::time::Duration;

use dlms_cosem_rs::{
    codec::Encode as _,
    transport::{
        hdlc::{
            Address, Connection, Event, Found, Framer, LLC_REQUEST, LLC_RESPONSE, Parameters,
            Reassembler, Role,
        },
        wrapper::{StreamReassembler, Wpdu},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::dialogue::{APDU_MAX, Failure};
use crate::bus::{Opener, Port as _, Turn};

/// Who speaks to whom, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Link {
    pub framing: Framing,
    /// The logical device of the meter; 1 is its management.
    pub server: u16,
    /// From the last byte sent to the next one received.
    pub timeout: Duration,
}

/// How application data are framed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    Hdlc {
        /// Which meter on the line; `None` where there is one only.
        physical: Option<u16>,
        /// Bytes of the meter's address, 1, 2 or 4; `None` takes as many as its numbers need.
        length: Option<u8>,
        /// Time of one character, which is added to the timeout.
        char_time: Duration,
    },
    Wrapper,
}

/// A conversation's way to the meter.
#[derive(Debug)]
pub(super) enum Channel {
    Hdlc {
        connection: Box<Connection>,
        char_time: Duration,
        timeout: Duration,
    },
    Wrapper {
        client: u16,
        server: u16,
        timeout: Duration,
        received: Vec<u8>,
    },
}

/// Longest answer with the header of the link.
const LSDU_MAX: usize = APDU_MAX + LLC_REQUEST.len();
/// Information field that we offer to take; meters take what they can.
const INFORMATION_MAX: u16 = 1024;
/// Frames of one answer; more is somebody who never ends.
const FRAMES_MAX: usize = 256;
/// Bytes that wait to become a frame.
const RECEIVED_MAX: usize = 8192;

impl Link {
    pub(super) fn channel(self, client: u8) -> Channel {
        match self.framing {
            Framing::Hdlc {
                physical,
                length,
                char_time,
            } => {
                let server = address(self.server, physical, length);
                let proposed = Parameters {
                    max_info_tx: INFORMATION_MAX,
                    max_info_rx: INFORMATION_MAX,
                    window_tx: 1,
                    window_rx: 1,
                };
                let client = Address::client(client);
                Channel::Hdlc {
                    connection: Box::new(Connection::new(Role::Client, client, server, proposed)),
                    char_time,
                    timeout: self.timeout,
                }
            }
            Framing::Wrapper => Channel::Wrapper {
                client: client.into(),
                server: self.server,
                timeout: self.timeout,
                received: Vec::new(),
            },
        }
    }
}

/// IEC 62056-46, 6.4.2.
fn address(logical: u16, physical: Option<u16>, length: Option<u8>) -> Address {
    let byte = |number: u16| u8::try_from(number & 0x7F).unwrap_or(0);
    match (physical, length) {
        (None, None) if logical <= 0x7F => Address::Single(byte(logical)),
        (_, Some(1)) => Address::Single(byte(logical)),
        (physical, Some(2)) => Address::Double {
            upper: byte(logical),
            lower: byte(physical.unwrap_or(0)),
        },
        (physical, Some(_)) => Address::Quad {
            upper: logical,
            lower: physical.unwrap_or(0),
        },
        (physical, None) => Address::server(logical, physical.unwrap_or(0)),
    }
}

impl Channel {
    /// Opens the link; on TCP the connection is enough.
    pub(super) async fn open<O: Opener>(&mut self, turn: &mut Turn<'_, O>) -> Result<(), Failure> {
        let Self::Hdlc {
            connection,
            char_time,
            timeout,
        } = self
        else {
            return Ok(());
        };
        let mut wire = Wire::new(turn, *char_time, *timeout);
        let mut frame = [0; 64];
        let length = connection
            .connect(&mut frame)
            .map_err(|_| Failure::TooLong)?;
        wire.send(&frame[..length]).await?;
        let mut lsdu = vec![0; LSDU_MAX];
        let mut into = Reassembler::new(&mut lsdu);
        for _ in 0..FRAMES_MAX {
            match wire.frame(connection, &mut into).await? {
                Event::Connected => return Ok(()),
                Event::Disconnected => return Err(Failure::Refused("the link")),
                Event::Idle | Event::Lsdu | Event::AcknowledgeRequired | Event::PollRequired => (),
            }
        }
        Err(Failure::TooLong)
    }

    /// Says something and returns the answer.
    pub(super) async fn exchange<O: Opener>(
        &mut self,
        turn: &mut Turn<'_, O>,
        apdu: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Hdlc {
                connection,
                char_time,
                timeout,
            } => {
                let wire = Wire::new(turn, *char_time, *timeout);
                in_frames(wire, connection, apdu).await
            }
            Self::Wrapper {
                client,
                server,
                timeout,
                received,
            } => {
                let wire = Wire::new(turn, Duration::ZERO, *timeout);
                wrapped(wire, (*client, *server), received, apdu).await
            }
        }
    }

    /// Ends the link; whether the meter says so or not.
    pub(super) async fn close<O: Opener>(&mut self, turn: &mut Turn<'_, O>) -> Result<(), Failure> {
        let Self::Hdlc {
            connection,
            char_time,
            timeout,
        } = self
        else {
            return Ok(());
        };
        let mut wire = Wire::new(turn, *char_time, *timeout);
        let mut frame = [0; 64];
        let length = connection
            .disconnect(&mut frame)
            .map_err(|_| Failure::TooLong)?;
        wire.send(&frame[..length]).await?;
        let mut lsdu = vec![0; LSDU_MAX];
        let mut into = Reassembler::new(&mut lsdu);
        for _ in 0..FRAMES_MAX {
            if wire.frame(connection, &mut into).await? == Event::Disconnected {
                break;
            }
        }
        Ok(())
    }
}

/// So long nothing comes after the last byte of an answer.
const SETTLED: Duration = Duration::from_millis(300);
/// A line that does not fall silent by then is used all the same; what comes is refused.
const SETTLED_BY: Duration = Duration::from_secs(3);

async fn in_frames<O: Opener>(
    mut wire: Wire<'_, '_, O>,
    connection: &mut Connection,
    apdu: &[u8],
) -> Result<Vec<u8>, Failure> {
    let own = |_| Failure::Garbled("a link that has ended");
    let request = [&LLC_REQUEST[..], apdu].concat();
    let mut segments = connection.segmenter(&request).map_err(own)?;
    let mut frame = vec![0; usize::from(INFORMATION_MAX) + 32];
    while let Some(length) = connection
        .next_frame(&mut segments, &mut frame)
        .map_err(own)?
    {
        wire.send(&frame[..length]).await?;
    }
    let mut lsdu = vec![0; LSDU_MAX];
    let mut into = Reassembler::new(&mut lsdu);
    for _ in 0..FRAMES_MAX {
        match wire.frame(connection, &mut into).await? {
            Event::Lsdu => {
                let answer = into.lsdu().strip_prefix(&LLC_RESPONSE);
                let answer = answer.ok_or(Failure::Garbled("a frame for another protocol"))?;
                return Ok(answer.to_vec());
            }
            Event::PollRequired => {
                let length = connection.poll(&mut frame).map_err(own)?;
                wire.send(&frame[..length]).await?;
            }
            Event::Disconnected => return Err(Failure::Refused("the link has ended")),
            Event::AcknowledgeRequired | Event::Connected | Event::Idle => (),
        }
    }
    Err(Failure::TooLong)
}

async fn wrapped<O: Opener>(
    mut wire: Wire<'_, '_, O>,
    (client, server): (u16, u16),
    received: &mut Vec<u8>,
    apdu: &[u8],
) -> Result<Vec<u8>, Failure> {
    let mut request = Vec::new();
    Wpdu::new(client, server, apdu)
        .and_then(|wpdu| wpdu.encode(&mut request))
        .map_err(|_| Failure::TooLong)?;
    wire.send(&request).await?;
    let reassembler = StreamReassembler::new(u16::try_from(APDU_MAX).unwrap_or(u16::MAX));
    for _ in 0..FRAMES_MAX {
        let next = reassembler
            .next_pdu(received)
            .map_err(|_| Failure::Garbled("something else than the wrapper"))?;
        let Some((wpdu, used)) = next else {
            let chunk = wire.read().await?;
            received.extend(chunk);
            continue;
        };
        let header = wpdu.header;
        let answer = wpdu.apdu.to_vec();
        received.drain(..used);
        // Of another client of the same meter, or another device behind the same gateway.
        if (header.source, header.destination) == (server, client) {
            return Ok(answer);
        }
    }
    Err(Failure::TooLong)
}

/// The port in one exchange.
struct Wire<'t, 'l, O: Opener> {
    turn: &'t mut Turn<'l, O>,
    char_time: Duration,
    timeout: Duration,
    framer: Framer,
    received: Vec<u8>,
}

impl<'t, 'l, O: Opener> Wire<'t, 'l, O> {
    fn new(turn: &'t mut Turn<'l, O>, char_time: Duration, timeout: Duration) -> Self {
        Self {
            turn,
            char_time,
            timeout,
            framer: Framer::new(),
            received: Vec::new(),
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let on_line = self.char_time * u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let write = async {
            let port = self.turn.port()?;
            port.discard_input()?;
            port.begin_sending()?;
            port.write_all(bytes).await?;
            port.flush().await?;
            if port.switches_direction() {
                tokio::time::sleep(on_line).await;
                port.end_sending().await?;
            }
            Ok(())
        };
        let written = timeout_at(Instant::now() + on_line + self.timeout, write).await;
        match written {
            Ok(result) => result.map_err(|error: std::io::Error| lost(&error))?,
            Err(_) => return Err(Failure::Silence),
        }
        self.turn.sent(Instant::now() + on_line);
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<u8>, Failure> {
        let until = self.turn.last_byte() + self.timeout;
        let mut chunk = [0; 512];
        let port = self.turn.port().map_err(|error| lost(&error))?;
        let Ok(count) = timeout_at(until, port.read(&mut chunk)).await else {
            return Err(if self.received.is_empty() {
                Failure::Silence
            } else {
                Failure::Garbled("frames that are damaged")
            });
        };
        match count {
            Ok(0) => Err(Failure::Line(
                "the line is down: the meter hung up".to_owned(),
            )),
            Ok(count) => {
                self.turn.heard();
                Ok(chunk[..count].to_vec())
            }
            Err(error) => Err(lost(&error)),
        }
    }

    /// The next frame, as the link understands it. Our own echo is meant for the meter, and ignored.
    async fn frame(
        &mut self,
        connection: &mut Connection,
        into: &mut Reassembler<'_>,
    ) -> Result<Event, Failure> {
        loop {
            let found = self.framer.next_frame(&self.received);
            let found = found.map_err(|_| Failure::Garbled("frames that are damaged"))?;
            match found {
                Found::Frame { frame, consumed } => {
                    let event = connection.handle(&frame, into);
                    self.received.drain(..consumed);
                    return event.map_err(|_| Failure::Garbled("frames out of turn"));
                }
                Found::Incomplete { .. } if self.received.len() > RECEIVED_MAX => {
                    return Err(Failure::Garbled("frames that are damaged"));
                }
                Found::Incomplete { .. } => {
                    let chunk = self.read().await?;
                    self.received.extend(chunk);
                }
            }
        }
    }
}

/// Waits until nothing more comes of a conversation that was dropped.
pub(super) async fn settle<O: Opener>(turn: &mut Turn<'_, O>) -> Result<(), Failure> {
    let mut stray = [0; 512];
    let end = Instant::now() + SETTLED_BY;
    let port = turn.port().map_err(|error| lost(&error))?;
    while let Ok(count) = timeout_at(end.min(Instant::now() + SETTLED), port.read(&mut stray)).await
    {
        match count {
            Ok(0) => return Err(lost(&std::io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => (),
            Err(error) => return Err(lost(&error)),
        }
    }
    Ok(())
}

fn lost(error: &std::io::Error) -> Failure {
    Failure::Line(format!("the line is down: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_take_the_bytes_that_they_need_or_are_told() {
        for (logical, physical, length, expected) in [
            (1, None, None, Address::Single(1)),
            (
                1,
                Some(17),
                None,
                Address::Double {
                    upper: 1,
                    lower: 17,
                },
            ),
            (
                1,
                Some(1017),
                None,
                Address::Quad {
                    upper: 1,
                    lower: 1017,
                },
            ),
            (
                1,
                Some(17),
                Some(4),
                Address::Quad {
                    upper: 1,
                    lower: 17,
                },
            ),
            (1, None, Some(2), Address::Double { upper: 1, lower: 0 }),
            (1, Some(17), Some(1), Address::Single(1)),
            (
                200,
                None,
                None,
                Address::Quad {
                    upper: 200,
                    lower: 0,
                },
            ),
        ] {
            assert_eq!(address(logical, physical, length), expected);
        }
    }
}
