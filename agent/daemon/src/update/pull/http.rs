//! By HTTP/1.1, with or without TLS. // RFC 9110, 13.1.5 and 14

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{
        CONTENT_RANGE, ETAG, HOST, HeaderMap, HeaderName, IF_RANGE, LOCATION, RANGE, RETRY_AFTER,
        USER_AGENT,
    },
};
use hyper_util::rt::TokioIo;
use lamplighter_updater::files;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
    task::spawn_blocking,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::{Attempt, CONNECT, Course, Place, Protocol, SILENCE, broken};
use crate::{bearer::way, update::machine::Outcome};

const MAX_AUTHORITIES: u64 = 4 << 20;
/// How often a server may send us elsewhere.
const MAX_REDIRECTS: usize = 5;

pub(super) async fn fetch(mut course: Course<'_>) -> Attempt {
    let mut place = course.place.clone();
    for _ in 0..=MAX_REDIRECTS {
        match fetch_from(&mut course, &place).await {
            Ok(Step::Whole) => return Attempt::Whole,
            Ok(Step::Elsewhere(other)) => place = other,
            Err(attempt) => return attempt,
        }
    }
    let words = "the server sends us round in circles".to_owned();
    Attempt::Failed((Outcome::InvalidUri, words))
}

enum Step {
    Elsewhere(Place),
    Whole,
}

async fn fetch_from(course: &mut Course<'_>, place: &Place) -> Result<Step, Attempt> {
    let stream = timeout(CONNECT, connect(course, place))
        .await
        .map_err(|_| broken("no connection in time"))?
        .map_err(broken)?;
    let request = request(course, place)?;
    let response = match place.protocol {
        Protocol::Https => {
            let stream = timeout(CONNECT, secured(course, place, stream)).await;
            let stream = stream.map_err(|_| broken("no connection in time"))?;
            ask(stream?, request).await?
        }
        Protocol::Coap | Protocol::Coaps | Protocol::Http => ask(stream, request).await?,
    };
    match response.status() {
        StatusCode::OK => take(course, response, 0).await,
        StatusCode::PARTIAL_CONTENT => {
            let (start, _) = range(response.headers())
                .filter(|(start, _)| *start == course.offset)
                .ok_or_else(|| broken("the server sends another part than it was asked for"))?;
            let etag = strong_etag(response.headers());
            if start > 0 && etag.is_some() && etag != course.origin.etag {
                course.is_of(None, 0).await?;
                let words = "the server has another version now".to_owned();
                return Err(Attempt::Broken(words, Some(Duration::ZERO)));
            }
            take(course, response, start).await
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            // What is there already is all that it has, or does not belong to it any more.
            if range_total(response.headers()) == Some(course.offset) && course.offset > 0 {
                return Ok(Step::Whole);
            }
            course.is_of(None, 0).await?;
            Err(broken("the server has less than it had"))
        }
        status if status.is_redirection() => elsewhere(place, response.headers()),
        status => Err(refused(status, response.headers())),
    }
}

async fn connect(course: &Course<'_>, place: &Place) -> Result<TcpStream, String> {
    let mut why = String::new();
    for address in course.addresses(place).await? {
        let socket = way::tcp(course.way.as_ref(), address);
        let connecting = socket.map(|socket| TcpSocket::from_std_stream(socket.into()));
        match connecting {
            Err(error) => why = error.to_string(),
            Ok(socket) => match socket.connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => why = error.to_string(),
            },
        }
    }
    Err(why)
}

async fn secured(
    course: &Course<'_>,
    place: &Place,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Attempt> {
    let mut roots = RootCertStore::empty();
    let authorities = authorities(course.fetching.authorities.clone()).await;
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&authorities).flatten());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(broken)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(place.host.clone())
        .map_err(|error| Attempt::Failed((Outcome::InvalidUri, error.to_string())))?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    connected.await.map_err(broken)
}

/// Those who vouch for servers; where there are none, no server is believed.
async fn authorities(file: PathBuf) -> Vec<u8> {
    let read = spawn_blocking(move || files::read(&file, MAX_AUTHORITIES)).await;
    let read = read.unwrap_or_else(|error| Err(io::Error::other(error)));
    let read = read.inspect_err(|error| tracing::warn!(%error, "Cannot read update.ca"));
    read.unwrap_or_default()
}

fn request(course: &Course<'_>, place: &Place) -> Result<Request<Empty<Bytes>>, Attempt> {
    let mut request = Request::get(&place.path)
        .header(HOST, place.authority())
        .header(
            USER_AGENT,
            concat!("lamplighter/", env!("CARGO_PKG_VERSION")),
        );
    if let (Some(etag), 1..) = (&course.origin.etag, course.offset) {
        request = request
            .header(RANGE, format!("bytes={}-", course.offset))
            .header(IF_RANGE, etag.as_slice());
    }
    let invalid =
        |error: hyper::http::Error| Attempt::Failed((Outcome::InvalidUri, error.to_string()));
    request.body(Empty::new()).map_err(invalid)
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, Attempt> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // Ends with the response.
    tokio::spawn(connection);
    let answer = timeout(SILENCE, sender.send_request(request)).await;
    answer
        .map_err(|_| broken("no answer in time"))?
        .map_err(broken)
}

async fn take(
    course: &mut Course<'_>,
    response: Response<Incoming>,
    start: u64,
) -> Result<Step, Attempt> {
    if let Some(length) = hyper::body::Body::size_hint(response.body()).exact() {
        course.check_length(start.saturating_add(length))?;
    }
    if start == 0 {
        let etag = strong_etag(response.headers());
        course.is_of(etag, start).await?;
    }
    let mut body = response.into_body();
    loop {
        let frame = timeout(SILENCE, body.frame()).await;
        let frame = frame.map_err(|_| broken("nothing comes any more"))?;
        let Some(frame) = frame else {
            return Ok(Step::Whole);
        };
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            course.add(data.to_vec()).await?;
        }
    }
}

/// One that vouches for every byte. // RFC 9110, 8.8.3
fn strong_etag(headers: &HeaderMap) -> Option<Vec<u8>> {
    let etag = headers.get(ETAG)?.as_bytes();
    etag.starts_with(b"\"").then(|| etag.to_vec())
}

/// `bytes START-END/TOTAL`: the start, and the total where it is known.
fn range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = text(headers, &CONTENT_RANGE)?.strip_prefix("bytes ")?;
    let (span, total) = text.split_once('/')?;
    let (start, _) = span.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()))
}

/// `bytes */TOTAL`
fn range_total(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_RANGE)?
        .strip_prefix("bytes */")?
        .parse()
        .ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn elsewhere(place: &Place, headers: &HeaderMap) -> Result<Step, Attempt> {
    let location = text(headers, &LOCATION).unwrap_or_default();
    let other = if location.starts_with('/') {
        Place {
            path: location.to_owned(),
            ..place.clone()
        }
    } else {
        Place::parse(location).map_err(Attempt::Failed)?
    };
    match (place.protocol, other.protocol) {
        (Protocol::Http, Protocol::Http | Protocol::Https) | (Protocol::Https, Protocol::Https) => {
            Ok(Step::Elsewhere(other))
        }
        _ => {
            let words = "the server sends us to a place that is less secured".to_owned();
            Err(Attempt::Failed((Outcome::InvalidUri, words)))
        }
    }
}

/// What passes is tried again, when the server says so. // RFC 9110, 10.2.3
fn refused(status: StatusCode, headers: &HeaderMap) -> Attempt {
    let words = format!("the server answers {status}");
    let passes = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT;
    if !passes {
        return Attempt::Failed((Outcome::InvalidUri, words));
    }
    let seconds = text(headers, &RETRY_AFTER).and_then(|text| text.parse().ok());
    let wait = seconds.map(|seconds: u64| Duration::from_secs(seconds.min(24 * 3600)));
    Attempt::Broken(words, wait)
}
