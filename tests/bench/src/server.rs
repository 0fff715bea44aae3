//! The server: takes the registration, then reads.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
    time::{Duration, Instant},
};

use crate::{Failure, message};

/// For the client to register, and for each answer: on one machine nothing gets lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server on a free port, for one client.
#[derive(Debug)]
pub(crate) struct Server {
    socket: UdpSocket,
    buffer: [u8; 1500],
    is_registered: bool,
    next_mid: u16,
}

impl Server {
    pub(crate) fn bind() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            buffer: [0; 1500],
            is_registered: false,
            next_mid: 0,
        })
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Waits for the client's Register.
    pub(crate) fn registered(&mut self) -> Result<(), Failure> {
        while !self.is_registered {
            let received = self.socket.recv_from(&mut self.buffer);
            let (length, from) = received.map_err(|error| format!("no Register came: {error}"))?;
            let answer = message::directory(&self.buffer[..length], false);
            let answer = answer.ok_or("the client did not begin with a Register")?;
            self.socket.connect(from)?;
            self.socket.send(&answer)?;
            self.is_registered = true;
        }
        Ok(())
    }

    /// Reads as often as `requests` says, with so many `outstanding` at any time; how long it took.
    #[expect(clippy::disallowed_methods, reason = "real time is what is measured")]
    pub(crate) fn read(
        &mut self,
        outstanding: usize,
        requests: usize,
    ) -> Result<Duration, Failure> {
        let begin = Instant::now();
        let mut sent = 0;
        let mut answered = 0;
        while answered < requests {
            while sent < requests && sent - answered < outstanding {
                self.socket.send(&message::get(self.next_mid))?;
                self.next_mid = self.next_mid.wrapping_add(1);
                sent += 1;
            }
            self.answer()?;
            answered += 1;
        }
        Ok(begin.elapsed())
    }

    /// The next answer of the client; its own requests are answered on the way.
    fn answer(&mut self) -> Result<(), Failure> {
        loop {
            let received = self.socket.recv(&mut self.buffer);
            let length = received.map_err(|error| format!("no answer came: {error}"))?;
            let datagram = &self.buffer[..length];
            let header = message::header(datagram).ok_or("not a CoAP message")?;
            if header.is_confirmable {
                if let Some(answer) = message::directory(datagram, true) {
                    self.socket.send(&answer)?;
                }
                continue;
            }
            if header.code != message::CONTENT {
                let (class, detail) = (header.code >> 5, header.code & 31);
                return Err(format!("read {} got {class}.{detail:02}", header.mid).into());
            }
            return Ok(());
        }
    }
}
