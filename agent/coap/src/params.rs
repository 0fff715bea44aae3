//! The parameters of RFC 7252, 4.8, the times derived from them, and our own limits.

use std::time::Duration;

/// Everything that can be tuned; one value per server and class of bearer.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Lower bound of the first wait for an acknowledgement. RFC 7252, 4.8: 2 s.
    pub ack_timeout: Duration,
    /// The first wait is between `ack_timeout` and `ack_timeout` times this; at least 1.
    pub ack_random_factor: f32,
    /// How often a confirmable message is repeated.
    pub max_retransmit: u32,
    /// How many interactions we keep open with the peer at once (RFC 7252, 4.7); at least 1.
    pub nstart: usize,
    /// Spread of answers to multicast requests. Nothing here answers any.
    pub default_leisure: Duration,
    /// Bytes per second towards a peer that never answers. To be kept by the caller, who knows all
    /// traffic; nobody does so yet.
    pub probing_rate: u32,
    /// How long a datagram may stay in the network.
    pub max_latency: Duration,

    /// How long a confirmable request waits for its answer before it gets an empty acknowledgement.
    pub separate_after: Duration,
    /// How long we wait for an answer after the peer has acknowledged our request, or after a
    /// non-confirmable request.
    pub response_timeout: Duration,
    /// Largest body that is assembled from blocks, in bytes; also the bound of all unfinished ones
    /// together. More is 4.13 for the peer, [`crate::Failure::TooLarge`] for our own requests.
    pub max_body: usize,
    /// Requests to these paths have bodies of any length, which are told block by block
    /// ([`crate::Request::part`]): each is acknowledged once its part was answered with success.
    pub streamed: Vec<Vec<String>>,
    /// Preferred block size as `log2(size) - 4`: 0 (16 bytes) to 6 (1024 bytes).
    pub block_szx: u8,
    /// Random bytes in our tokens, 4 to 8.
    pub token_length: usize,
    /// Requests of the peer that may wait for an answer at once; the next gets 5.03.
    pub max_incoming: usize,
    /// Remembered requests that must not run twice (all but GET and FETCH).
    pub max_seen_once: usize,
    /// Remembered messages that may run again once pushed out (GET, FETCH, responses).
    pub max_seen_again: usize,
    /// Bytes kept of answers to requests that must not run twice.
    pub max_seen_bytes: usize,
    /// Observations of the peer whose large notifications can be fetched block by block.
    pub max_observers: usize,
    /// Large answers that are kept for block-wise fetching, and unfinished uploads of the peer.
    pub max_bodies: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            ack_timeout: Duration::from_secs(2),
            ack_random_factor: 1.5,
            max_retransmit: 4,
            nstart: 1,
            default_leisure: Duration::from_secs(5),
            probing_rate: 1,
            max_latency: Duration::from_secs(100),
            separate_after: Duration::from_secs(1),
            response_timeout: Duration::from_secs(93),
            max_body: 1 << 20,
            streamed: Vec::new(),
            block_szx: 6,
            token_length: 4,
            max_incoming: 64,
            max_seen_once: 512,
            max_seen_again: 64,
            max_seen_bytes: 64 << 10,
            max_observers: 1024,
            max_bodies: 4,
        }
    }
}

impl Params {
    /// From the first to the last transmission of a confirmable message. RFC 7252, 4.8.2: 45 s.
    pub fn max_transmit_span(&self) -> Duration {
        self.longest_wait(doublings(self.max_retransmit))
    }

    /// From the first transmission until the sender gives up. RFC 7252, 4.8.2: 93 s.
    pub fn max_transmit_wait(&self) -> Duration {
        self.longest_wait(doublings(self.max_retransmit.saturating_add(1)))
    }

    /// How long an acknowledgement may take to be made. RFC 7252, 4.8.2: ACK_TIMEOUT.
    pub fn processing_delay(&self) -> Duration {
        self.ack_timeout
    }

    /// RFC 7252, 4.8.2: 202 s.
    pub fn max_rtt(&self) -> Duration {
        self.max_latency
            .saturating_mul(2)
            .saturating_add(self.processing_delay())
    }

    /// How long the message id of a confirmable message may be met again. RFC 7252, 4.8.2: 247 s.
    pub fn exchange_lifetime(&self) -> Duration {
        self.max_transmit_span().saturating_add(self.max_rtt())
    }

    /// How long the message id of a non-confirmable message may be met again. RFC 7252, 4.8.2: 145 s.
    pub fn non_lifetime(&self) -> Duration {
        self.max_transmit_span().saturating_add(self.max_latency)
    }

    /// The first wait for an acknowledgement, `fraction` (0 to 1) of the way between its bounds.
    pub(crate) fn first_timeout(&self, fraction: f64) -> Duration {
        let micros = self.ack_timeout.as_micros() as f64 * (1.0 + (self.factor() - 1.0) * fraction);
        Duration::from_micros(micros as u64)
    }

    /// [`Self::block_szx`], within what there are blocks of. // RFC 7959, 2.2
    pub fn block_szx(&self) -> u8 {
        self.block_szx.min(6)
    }

    fn longest_wait(&self, times: u32) -> Duration {
        let micros = self.ack_timeout.as_micros() as f64 * self.factor() * f64::from(times);
        Duration::from_micros(micros as u64)
    }

    fn factor(&self) -> f64 {
        // Written this way a NaN becomes 1.
        if self.ack_random_factor > 1.0 {
            f64::from(self.ack_random_factor)
        } else {
            1.0
        }
    }
}

/// How many first timeouts fit into `n` waits of which each is twice the one before.
fn doublings(n: u32) -> u32 {
    1u32.checked_shl(n).map_or(u32::MAX, |power| power - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_times_are_those_of_rfc_7252() {
        let params = Params::default();
        assert_eq!(params.max_transmit_span(), Duration::from_secs(45));
        assert_eq!(params.max_transmit_wait(), Duration::from_secs(93));
        assert_eq!(params.max_rtt(), Duration::from_secs(202));
        assert_eq!(params.exchange_lifetime(), Duration::from_secs(247));
        assert_eq!(params.non_lifetime(), Duration::from_secs(145));
    }

    #[test]
    fn absurd_values_do_not_panic() {
        let params = Params {
            ack_timeout: Duration::MAX,
            ack_random_factor: f32::NAN,
            max_retransmit: u32::MAX,
            max_latency: Duration::MAX,
            ..Params::default()
        };
        assert!(params.exchange_lifetime() >= params.max_transmit_span());
        assert!(params.first_timeout(1.0) > Duration::ZERO);
    }
}
