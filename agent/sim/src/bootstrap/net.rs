//! The bootstrap server behind a UDP socket: one task that owns both.

use std::{io, net::SocketAddr, time::Duration};

use lamplighter_coap::Code;
use tokio::{net::UdpSocket, sync::mpsc, time::Instant};

use super::{BsEvent, BsOptions, BsServer, BsStep};

/// Wishes and events that wait.
const QUEUE: usize = 256;
/// UDP carries no more.
const MAX_DATAGRAM: usize = 65_535;

/// A running bootstrap server, which ends when this is dropped.
#[derive(Debug)]
pub struct BsServerHandle {
    events: mpsc::Receiver<BsEvent>,
    local: SocketAddr,
    wishes: mpsc::Sender<Wish>,
}

#[derive(Debug)]
enum Wish {
    Refuse(Option<Code>),
    Steps(Vec<BsStep>),
}

/// # Errors
/// Whatever the system says when the address cannot be listened on.
pub async fn start(listen: SocketAddr, options: BsOptions) -> io::Result<BsServerHandle> {
    let socket = UdpSocket::bind(listen).await?;
    let local = socket.local_addr()?;
    let (wishes, wanted) = mpsc::channel(QUEUE);
    let (told, events) = mpsc::channel(QUEUE);
    let server = BsServer::new(options);
    tokio::spawn(run(socket, server, wanted, told));
    Ok(BsServerHandle {
        events,
        local,
        wishes,
    })
}

impl BsServerHandle {
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// What happens next; `None` when the server has ended. Who does not listen loses the newest.
    pub async fn event(&mut self) -> Option<BsEvent> {
        self.events.recv().await
    }

    /// The code of the answer to step `step`, whenever it comes.
    pub async fn answered(&mut self, step: usize) -> Option<Code> {
        loop {
            match self.event().await? {
                BsEvent::Answered(of, code, _) if of == step => return Some(code),
                BsEvent::Answered(..) | BsEvent::Asked(_) | BsEvent::Failed(..) => {}
            }
        }
    }

    /// What is answered to requests from now on, instead of 2.04.
    pub async fn refuse(&self, code: Option<Code>) {
        // A server that has ended refuses everything.
        let _ = self.wishes.send(Wish::Refuse(code)).await;
    }

    pub async fn set_steps(&self, steps: Vec<BsStep>) {
        let _ = self.wishes.send(Wish::Steps(steps)).await;
    }
}

async fn run(
    socket: UdpSocket,
    mut server: BsServer,
    mut wanted: mpsc::Receiver<Wish>,
    told: mpsc::Sender<BsEvent>,
) {
    let origin = Instant::now();
    let mut datagram = vec![0; MAX_DATAGRAM];
    loop {
        let due = server.poll_timeout().map(|at| origin + at);
        tokio::select! {
            received = socket.recv_from(&mut datagram) => match received {
                Ok((length, from)) => {
                    server.handle_datagram(from, &datagram[..length], origin.elapsed());
                }
                // What a peer's host refuses concerns one peer, the others go on.
                Err(error) => tracing::debug!(%error, "receive"),
            },
            wish = wanted.recv() => match wish {
                Some(Wish::Refuse(code)) => server.refuse(code),
                Some(Wish::Steps(steps)) => server.set_steps(steps),
                None => return,
            },
            () = sleep_until(due) => {}
        }
        let now: Duration = origin.elapsed();
        server.handle_timeout(now);
        while let Some(event) = server.poll_event() {
            // Nobody listens to so much: the newest is lost.
            let _ = told.try_send(event);
        }
        while let Some((to, datagram)) = server.poll_transmit() {
            // A datagram that does not leave is one that the network lost.
            if let Err(error) = socket.send_to(&datagram, to).await {
                tracing::debug!(%error, %to, "send");
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
