//! By CoAP, one block at a time, with or without DTLS. // RFC 7959, 2.4
//!
//! Where a server of an account is asked, the session is made with that account; for others there is
//! nothing that both know.

use std::time::Duration;

use lamplighter_coap::{Code, Endpoint, Event, Method, Params, Part, Request, Response};
use lamplighter_dtls::{Clock, Session, SessionEvent};
use lamplighter_lwm2m::{client::ServerConfig, server::Scheme};
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep_until},
};

use super::{Attempt, Course, Protocol, SILENCE, broken};
use crate::{bearer::way, update::machine::Outcome};

const MAX_DATAGRAM: usize = 4096;

pub(super) async fn fetch(mut course: Course<'_>) -> Attempt {
    match fetched(&mut course).await {
        Ok(()) => Attempt::Whole,
        Err(attempt) => attempt,
    }
}

async fn fetched(course: &mut Course<'_>) -> Result<(), Attempt> {
    let session = session(course)?;
    let addresses = course.addresses(course.place).await.map_err(broken)?;
    let mut why = broken("no address");
    for address in addresses {
        let socket = way::udp(course.way.as_ref(), address).and_then(UdpSocket::from_std);
        match socket {
            Ok(socket) => {
                let mut talk = Talk::new(socket, session, course.fetching.seed);
                return blocks(course, &mut talk).await;
            }
            Err(error) => why = broken(error),
        }
    }
    Err(why)
}

fn session(course: &Course<'_>) -> Result<Session, Attempt> {
    if course.place.protocol == Protocol::Coap {
        return Ok(Session::plain());
    }
    let is_it = |server: &&ServerConfig| {
        server.uri.scheme == Scheme::Coaps
            && server.uri.host.eq_ignore_ascii_case(&course.place.host)
    };
    let Some(server) = course.fetching.servers.iter().find(is_it) else {
        let words = format!("there is no account for coaps at {}", course.place.host);
        return Err(Attempt::Failed((Outcome::Protocol, words)));
    };
    let session = server.security.session_over(&server.coap);
    session.map_err(|why| Attempt::Failed((Outcome::Protocol, why.to_string())))
}

/// Asks for one block after the other, from where the last attempt ended.
async fn blocks(course: &mut Course<'_>, talk: &mut Talk) -> Result<(), Attempt> {
    loop {
        // Blocks begin at multiples of their size; what is there already is not added again.
        let size = 16 << talk.endpoint.params().block_szx.min(6);
        let offset = course.offset - course.offset % size;
        let response = talk.ask(request(course, offset)?).await?;
        if !response.code.is_success() {
            return Err(refused(course, &response).await);
        }
        let Some(part) = response.part else {
            return Err(broken("the answer is none"));
        };
        let etag = response.etag.map(|etag| etag.as_bytes().to_vec());
        if part.offset as u64 != offset || offset > 0 && etag != course.origin.etag {
            course.is_of(None, 0).await?;
            return Err(Attempt::Broken(
                "the server has another version now".to_owned(),
                Some(Duration::ZERO),
            ));
        }
        if offset == 0 {
            course.is_of(etag, 0).await?;
        }
        if part.has_more {
            go_along(talk, response.payload.len(), size)?;
        }
        let known = usize::try_from(course.offset - offset).unwrap_or(usize::MAX);
        if let Some(new) = response.payload.get(known..) {
            course.add(new.to_vec()).await?;
        }
        if !part.has_more {
            return Ok(());
        }
    }
}

/// Goes on with blocks of the size that the server gives, where these are smaller than was asked for.
/// Only the last may be cut. // RFC 7959, 2.2 and 2.4
fn go_along(talk: &mut Talk, given: usize, asked: u64) -> Result<(), Attempt> {
    if given as u64 == asked {
        return Ok(());
    }
    if !given.is_power_of_two() || given < 16 || given as u64 > asked {
        return Err(broken(format!("the server sends a block of {given} bytes")));
    }
    let szx = u8::try_from(given.ilog2() - 4).map_err(broken)?;
    talk.endpoint.limit_blocks(szx, talk.begun.elapsed());
    Ok(())
}

fn request(course: &Course<'_>, offset: u64) -> Result<Request, Attempt> {
    let place = course.place;
    let (path, query) = place.path.split_once('?').unwrap_or((&place.path, ""));
    let decoded = |text: &str| {
        decode(text).ok_or_else(|| {
            let words = "the URI has a wrong % in it".to_owned();
            Attempt::Failed((Outcome::InvalidUri, words))
        })
    };
    // RFC 7252, 6.4.
    let path = path.strip_prefix('/').unwrap_or(path);
    let segments = path.split('/').filter(|_| !path.is_empty());
    let queries = query.split('&').filter(|_| !query.is_empty());
    Ok(Request {
        queries: queries.map(decoded).collect::<Result<_, _>>()?,
        part: Some(Part {
            offset: usize::try_from(offset).unwrap_or(usize::MAX),
            has_more: false,
            total: None,
        }),
        ..Request::new(
            Method::Get,
            segments.map(decoded).collect::<Result<_, _>>()?,
        )
    })
}

/// RFC 3986, 2.1.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, others) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = others;
    }
    String::from_utf8(bytes).ok()
}

async fn refused(course: &mut Course<'_>, response: &Response) -> Attempt {
    let words = format!("the server answers {}", response.code);
    if response.code == Code::SERVICE_UNAVAILABLE {
        let wait = response
            .max_age
            .map(|seconds| Duration::from_secs(seconds.into()));
        return Attempt::Broken(words, wait);
    }
    // A block behind its end: what is there does not belong to what it has now.
    if course.offset > 0 {
        if let Err(attempt) = course.is_of(None, 0).await {
            return attempt;
        }
        return Attempt::Broken(words, None);
    }
    if response.code.class() == 5 {
        return Attempt::Broken(words, None);
    }
    Attempt::Failed((Outcome::InvalidUri, words))
}

/// A conversation with one server, for the time of a download.
struct Talk {
    socket: UdpSocket,
    session: Session,
    endpoint: Endpoint,
    /// All times count from here.
    begun: Instant,
}

impl Talk {
    fn new(socket: UdpSocket, mut session: Session, seed: u64) -> Self {
        // Nobody vouches for the date here: what is installed is signed besides.
        session.start(Clock::default(), Duration::ZERO);
        Self {
            socket,
            session,
            endpoint: Endpoint::new(Params::default(), seed),
            begun: Instant::now(),
        }
    }

    /// What the session has to say and to pass on, and what is to leave.
    async fn turn(&mut self) -> Result<(), Attempt> {
        loop {
            let now = self.begun.elapsed();
            match self.session.poll() {
                Some(SessionEvent::Application(message)) => self.endpoint.receive(&message, now),
                Some(SessionEvent::Closed(why)) => return Err(broken(format!("{why:?}"))),
                Some(SessionEvent::Established(_)) => {}
                // What is lost is sent again.
                Some(SessionEvent::Transmit(datagram)) => drop(self.socket.send(&datagram).await),
                None if self.session.is_open() => match self.endpoint.poll_transmit() {
                    Some(datagram) => self.session.send(datagram, now),
                    None => return Ok(()),
                },
                None => return Ok(()),
            }
        }
    }

    async fn ask(&mut self, request: Request) -> Result<Response, Attempt> {
        self.endpoint.request(request, self.begun.elapsed());
        let end = Instant::now() + 2 * SILENCE;
        let mut datagram = vec![0; MAX_DATAGRAM];
        loop {
            self.turn().await?;
            while let Some(event) = self.endpoint.poll_event() {
                match event {
                    Event::Response(_, response) => return Ok(response),
                    Event::Failed(_, failure) => return Err(broken(format!("{failure:?}"))),
                    Event::Delivered(..) | Event::Notification(..) => {}
                    Event::Request(key, _) => self.endpoint.ignore(key),
                }
            }
            let due = [self.endpoint.poll_timeout(), self.session.poll_timeout()];
            let due = due.into_iter().flatten().min();
            let due = due.map_or(end, |due| (self.begun + due).min(end));
            tokio::select! {
                received = self.socket.recv(&mut datagram) => {
                    let length = received.map_err(broken)?;
                    let now = self.begun.elapsed();
                    self.session.receive(datagram[..length].to_vec(), now);
                }
                () = sleep_until(due) => {
                    if Instant::now() >= end {
                        return Err(broken("no answer in time"));
                    }
                    let now = self.begun.elapsed();
                    self.session.handle_timeout(now);
                    self.endpoint.handle_timeout(now);
                }
            }
        }
    }
}
