//! What runs in the namespaces beside the programs under test:
//! `netns-peer echo ADDRESS`, `ask INTERFACE SERVER`, `fill INTERFACE SERVER`, `slow ADDRESS SERVER MILLISECONDS` and
//! `portal ADDRESS`. Each says `ready` when it is.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Larger than any datagram.
const DATAGRAM: usize = 65_536;
/// Clients of one slow path; more are not taken.
const MAX_CLIENTS: usize = 64;
/// What fits in one packet.
const FILLING: usize = 1400;
/// Of what a web client asks.
const REQUEST: usize = 4096;

const PORTAL: &str = "HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        ["echo", address] => echo(address),
        ["ask", interface, server] => ask(interface, server),
        ["fill", interface, server] => fill(interface, server),
        ["slow", address, server, milliseconds] => slow(address, server, milliseconds),
        ["portal", address] => portal(address),
        _ => Err(io::Error::other("unknown command")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "netns-peer {arguments:?}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// Tells everyone from where it sees them.
fn echo(address: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(address)?;
    say("ready")?;
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let (_, from) = socket.recv_from(&mut datagram)?;
        // Whoever cannot be reached any more does not end the others.
        let _ = socket.send_to(from.to_string().as_bytes(), from);
    }
}

/// For each line, which is a number of bytes, sends so many over the interface, and says what came
/// back: the answer, or why there is none. All through one socket.
fn ask(interface: &str, server: &str) -> io::Result<()> {
    let server: SocketAddr = server.parse().map_err(io::Error::other)?;
    let socket = Socket::new(
        Domain::for_address(server),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.bind_device(Some(interface.as_bytes()))?;
    let socket = UdpSocket::from(socket);
    // A connected socket is told what routers say.
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    say("ready")?;
    for line in io::stdin().lock().lines() {
        let bytes: usize = line?.trim().parse().map_err(io::Error::other)?;
        let answered = once(&socket, bytes);
        say(&answered.unwrap_or_else(|error| format!("error: {}", reason(&error))))?;
    }
    Ok(())
}

/// Leaves by this interface. A connected socket is told what routers say.
fn bound(interface: &str, server: &str) -> io::Result<UdpSocket> {
    let server: SocketAddr = server.parse().map_err(io::Error::other)?;
    let domain = Domain::for_address(server);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    let socket = UdpSocket::from(socket);
    socket.connect(server)?;
    Ok(socket)
}

/// For each line, which is a number of bytes, sends so many, whether somebody listens or not.
fn fill(interface: &str, server: &str) -> io::Result<()> {
    let socket = bound(interface, server)?;
    say("ready")?;
    for line in io::stdin().lock().lines() {
        let mut left: usize = line?.trim().parse().map_err(io::Error::other)?;
        while left > 0 {
            // An error is what was said of the datagram before: this one was not sent.
            left -= socket.send(&[0; FILLING][..left.min(FILLING)]).unwrap_or(0);
        }
        say("sent")?;
    }
    Ok(())
}

fn once(socket: &UdpSocket, bytes: usize) -> io::Result<String> {
    socket.send(&vec![0; bytes])?;
    let mut datagram = [0; 128];
    let length = socket.recv(&mut datagram)?;
    Ok(String::from_utf8_lossy(&datagram[..length]).into_owned())
}

fn reason(error: &io::Error) -> String {
    let silence = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
    if silence.contains(&error.kind()) {
        return "silence".to_owned();
    }
    error.kind().to_string()
}

/// Passes datagrams to the server and back, each way after a while.
fn slow(address: &str, server: &str, milliseconds: &str) -> io::Result<()> {
    let delay = Duration::from_millis(milliseconds.parse().map_err(io::Error::other)?);
    let front = Arc::new(UdpSocket::bind(address)?);
    let mut clients: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
    say("ready")?;
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let (length, client) = front.recv_from(&mut datagram)?;
        if !clients.contains_key(&client) {
            if clients.len() == MAX_CLIENTS {
                continue;
            }
            let back = Arc::new(UdpSocket::bind("0.0.0.0:0")?);
            back.connect(server)?;
            let (from, to) = (Arc::clone(&back), Arc::clone(&front));
            thread::spawn(move || answers(&from, &to, client, delay));
            clients.insert(client, back);
        }
        let back = Arc::clone(&clients[&client]);
        let datagram = datagram[..length].to_vec();
        later(delay, move || {
            let _ = back.send(&datagram);
        });
    }
}

fn answers(from: &UdpSocket, to: &Arc<UdpSocket>, client: SocketAddr, delay: Duration) {
    let mut datagram = vec![0; DATAGRAM];
    loop {
        // An error is what the network said of an earlier datagram.
        let Ok(length) = from.recv(&mut datagram) else {
            continue;
        };
        let (to, datagram) = (Arc::clone(to), datagram[..length].to_vec());
        later(delay, move || {
            let _ = to.send_to(&datagram, client);
        });
    }
}

/// A thread for each is enough for the few datagrams of a test.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the network, whose time is real"
)]
fn later(delay: Duration, what: impl FnOnce() + Send + 'static) {
    let due = Instant::now() + delay;
    thread::spawn(move || {
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            thread::park_timeout(left);
        }
        what();
    });
}

/// Sends every web client to a page to log in.
fn portal(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    say("ready")?;
    for client in listener.incoming() {
        // A client that goes early does not end the others.
        let _ = client.and_then(|client| redirect(&client));
    }
    Ok(())
}

fn redirect(mut client: &TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    // A socket that is closed with something unread resets the connection before the answer is read.
    let mut request = Vec::new();
    let mut part = [0; REQUEST];
    while !request.ends_with(b"\r\n\r\n") && request.len() < REQUEST {
        match client.read(&mut part)? {
            0 => break,
            length => request.extend_from_slice(&part[..length]),
        }
    }
    client.write_all(PORTAL.as_bytes())
}
