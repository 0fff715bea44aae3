//! A portal that answers in the place of the server: it wants people to look at its page first.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::timeout,
};

use crate::bearer::way::{self, Way};

/// Of HTTP, which portals look for.
pub(super) const PORT: u16 = 80;
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of the head of an answer.
const MAX_HEAD: usize = 4096;
/// RFC 6585, 6: Network Authentication Required.
const LOGIN_WANTED: u16 = 511;

/// Whether something sends who asks for the host away to another, or says what it is.
pub(super) async fn stands_before(host: &str, to: SocketAddr, way: &Way) -> bool {
    let head = timeout(PATIENCE, ask(host, to, way)).await;
    matches!(head, Ok(Ok(head)) if is_portal(&head, host))
}

async fn ask(host: &str, to: SocketAddr, way: &Way) -> io::Result<String> {
    let socket = TcpSocket::from_std_stream(way::tcp(Some(way), to)?.into());
    let mut stream = socket.connect(to).await?;
    let name = match host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Ok(IpAddr::V4(_)) | Err(_) => host.to_owned(),
    };
    let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    let mut buffer = [0; 512];
    while head.len() < MAX_HEAD && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            break;
        }
        head.extend_from_slice(&buffer[..length]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn is_portal(head: &str, host: &str) -> bool {
    let mut lines = head.lines();
    let code = lines.next().and_then(|line| {
        let mut words = line.strip_prefix("HTTP/1.")?.split(' ');
        words.nth(1)?.parse::<u16>().ok()
    });
    match code {
        Some(LOGIN_WANTED) => true,
        // Servers send people to their own page with TLS.
        Some(300..400) => lines
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| name.eq_ignore_ascii_case("location"))
            .any(|(_, to)| leads_away(to.trim(), host)),
        Some(_) | None => false,
    }
}

fn leads_away(to: &str, host: &str) -> bool {
    let Some((_, rest)) = to.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let authority = authority.rsplit('@').next().unwrap_or("");
    let name = match authority.strip_prefix('[') {
        Some(literal) => literal.split(']').next().unwrap_or(""),
        None => authority.split(':').next().unwrap_or(""),
    };
    !name.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portal(head: &str) -> bool {
        is_portal(head, "lw.example")
    }

    #[test]
    fn who_is_sent_elsewhere_stands_before_a_portal() {
        assert!(portal(
            "HTTP/1.1 302 Found\r\nLocation: http://login.hotel/\r\n\r\n"
        ));
        assert!(portal(
            "HTTP/1.0 307 x\r\nlocation: https://10.0.0.1:8080/?to=lw.example\r\n"
        ));
        assert!(portal(
            "HTTP/1.1 511 Network Authentication Required\r\n\r\n"
        ));
    }

    #[test]
    fn the_servers_own_words_are_no_portal() {
        for head in [
            "HTTP/1.1 301 Moved\r\nLocation: https://LW.example/\r\n\r\n",
            "HTTP/1.1 301 Moved\r\nLocation: https://lw.example:8443\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 302 Found\r\n\r\n",
            "SSH-2.0\r\n",
            "",
        ] {
            assert!(!portal(head), "{head}");
        }
        let literal = "HTTP/1.1 301 x\r\nLocation: https://[2001:db8::1]/\r\n";
        assert!(!is_portal(literal, "2001:db8::1"));
    }
}
