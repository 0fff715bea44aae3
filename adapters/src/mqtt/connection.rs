//! One connection to the broker: packets both ways (MQTT 3.1.1), and commands that can be withdrawn.
//!
//! 1. It ends with a reset: what the kernel has not sent when it ends is thrown away.
//! 2. Behind each command goes a ping. The broker answers in order, so with the answer of that ping
//!    it has the command. A command that is given up before ends the connection; one that the broker
//!    has cannot be taken back.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use bytes::BytesMut;
use rumqttc::{Error, Packet, Publish};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split,
    },
    net::TcpStream,
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::broker::PACKET_MAX;

/// Commands that wait for the connection, and those of which it is not known whether the broker has
/// them.
pub(super) const QUEUE: usize = 64;

/// What carries the bytes.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carrier for T {}

/// A connection that is thrown away whole when it is dropped.
pub(super) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_zero_linger()?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Packets over whatever carries bytes.
pub(super) struct Wire<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    input: BytesMut,
    output: BytesMut,
    /// Everything that was written has left what carries it, too.
    is_flushed: bool,
}

impl<S: Carrier> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        let (reader, writer) = split(stream);
        Self {
            reader,
            writer,
            input: BytesMut::new(),
            output: BytesMut::new(),
            is_flushed: true,
        }
    }

    /// Puts a packet into the queue.
    pub(super) fn tell(&mut self, packet: &Packet) -> Result<(), String> {
        let put = packet.write(&mut self.output, PACKET_MAX);
        put.map(|_| ()).map_err(|error| error.to_string())
    }

    /// The next packet; meanwhile what is to go goes. May be dropped at any time.
    ///
    /// # Errors
    /// The connection has ended, in words.
    pub(super) async fn packet(&mut self) -> Result<Packet, String> {
        loop {
            match Packet::read(&mut self.input, PACKET_MAX) {
                Ok(packet) => return Ok(packet),
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(format!("the broker says nonsense: {error}")),
            }
            let moved = self.turn().await;
            moved.map_err(|error| format!("the connection to the broker broke: {error}"))?;
        }
    }

    async fn turn(&mut self) -> io::Result<()> {
        let (writer, output, is_flushed) =
            (&mut self.writer, &mut self.output, &mut self.is_flushed);
        let send = async {
            if !output.is_empty() {
                *is_flushed = false;
                let sent = writer.write_buf(output).await?;
                return if sent == 0 { Err(gone()) } else { Ok(()) };
            }
            if *is_flushed {
                return std::future::pending().await;
            }
            writer.flush().await?;
            *is_flushed = true;
            Ok(())
        };
        tokio::select! {
            sent = send => sent,
            read = self.reader.read_buf(&mut self.input) => match read? {
                0 => Err(gone()),
                _ => Ok(()),
            },
        }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// The way of commands to the connection that stands.
#[derive(Clone)]
pub(super) struct Client {
    commands: mpsc::Sender<Command>,
    end: Arc<Notify>,
}

struct Command {
    message: Publish,
    arrived: oneshot::Sender<()>,
}

/// A command under way. Dropped before the broker has it for sure, it takes the connection with it.
pub(crate) struct Ticket {
    arrived: oneshot::Receiver<()>,
    end: Arc<Notify>,
    is_done: bool,
}

impl Client {
    /// `None`: the queue is full.
    pub(super) fn publish(&self, message: Publish) -> Option<Ticket> {
        let (arrived, heard) = oneshot::channel();
        let command = Command { message, arrived };
        self.commands.try_send(command).ok()?;
        Some(Ticket {
            arrived: heard,
            end: Arc::clone(&self.end),
            is_done: false,
        })
    }
}

impl Ticket {
    /// It was carried out, or may be at any time.
    pub(crate) fn forget(mut self) {
        self.is_done = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // With the connection all that it had not sent has gone.
        let is_under_way = self.arrived.try_recv() == Err(oneshot::error::TryRecvError::Empty);
        if is_under_way && !self.is_done {
            self.end.notify_one();
        }
    }
}

/// A connection at work.
pub(super) struct Connection<S> {
    wire: Wire<S>,
    commands: mpsc::Receiver<Command>,
    end: Arc<Notify>,
    keep_alive: Duration,
    /// Pings without an answer: when they were sent, and who wants to know.
    asked: VecDeque<(Instant, Option<oneshot::Sender<()>>)>,
    last_ping: Instant,
}

impl<S: Carrier> Connection<S> {
    /// On a wire where the broker has said that it is there.
    pub(super) fn new(wire: Wire<S>, keep_alive: Duration) -> (Self, Client) {
        let (sender, commands) = mpsc::channel(QUEUE);
        let end = Arc::new(Notify::new());
        let client = Client {
            commands: sender,
            end: Arc::clone(&end),
        };
        let connection = Self {
            wire,
            commands,
            end,
            keep_alive,
            asked: VecDeque::new(),
            last_ping: Instant::now(),
        };
        (connection, client)
    }

    /// The next packet of the broker that is not about the connection itself.
    ///
    /// # Errors
    /// The connection is to end, in words.
    pub(super) async fn next(&mut self) -> Result<Packet, String> {
        loop {
            let takes = self.asked.len() < QUEUE;
            let asked = self.asked.front().map_or(self.last_ping, |(at, _)| *at);
            tokio::select! {
                biased;
                () = self.end.notified() => {
                    return Err("a command did not reach the broker in time".to_owned());
                }
                packet = self.wire.packet() => {
                    let packet = packet?;
                    if packet != Packet::PingResp {
                        return Ok(packet);
                    }
                    self.on_answer();
                }
                Some(command) = self.commands.recv(), if takes => {
                    self.wire.tell(&Packet::Publish(command.message))?;
                    self.ping(Some(command.arrived))?;
                }
                () = sleep_until(asked + self.keep_alive) => {
                    if !self.asked.is_empty() {
                        return Err("the broker does not answer".to_owned());
                    }
                    self.ping(None)?;
                }
            }
        }
    }

    fn ping(&mut self, arrived: Option<oneshot::Sender<()>>) -> Result<(), String> {
        self.last_ping = Instant::now();
        self.asked.push_back((self.last_ping, arrived));
        self.wire.tell(&Packet::PingReq)
    }

    fn on_answer(&mut self) {
        if let Some((_, Some(arrived))) = self.asked.pop_front() {
            // Nobody may want to know any more.
            let _ = arrived.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_ends_is_reset_so_that_nothing_is_sent_any_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ours = connect("127.0.0.1", port).await.unwrap();
        let (mut theirs, _) = listener.accept().await.unwrap();
        // More than the buffers of both ends hold.
        let flood = [b'x'; 65_536];
        while ours.try_write(&flood).is_ok() {}
        drop(ours);
        let mut received = Vec::new();
        let end = theirs.read_to_end(&mut received).await;
        assert_eq!(
            end.map_err(|error| error.kind()),
            Err(io::ErrorKind::ConnectionReset)
        );
    }
}
