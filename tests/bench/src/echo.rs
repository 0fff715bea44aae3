//! The floor: a client that registers and then answers every request with the same bytes, without
//! looking at more of it than the token. It costs what sockets cost.

use std::net::{Ipv4Addr, UdpSocket};

use crate::{Failure, message};

const BODY: &[u8] = b"echo";

/// Answers until it is killed.
pub(crate) fn run(port: u16) -> Result<(), Failure> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect((Ipv4Addr::LOCALHOST, port))?;
    socket.send(&message::register())?;
    let mut buffer = [0; 1500];
    let mut answer = Vec::new();
    loop {
        let length = socket.recv(&mut buffer)?;
        if message::echo(&buffer[..length], BODY, &mut answer) {
            socket.send(&answer)?;
        }
    }
}
