//! quinn's settings: limits for strangers and for proven peers, times, and every source of randomness that quinn lets
//! us replace, so that a seeded run sends the same packets.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use phalanx_base::Entropy;
use quinn::{
    ConnectionId, ConnectionIdGenerator, IdleTimeout, NoneTokenLog, NoneTokenStore, TimeSource,
    TransportConfig, ValidationTokenConfig, VarInt,
};
use ring::{hkdf, hmac};
use tokio::time::Instant;

use super::tls::Tls;
use crate::endpoint::EndpointConfig;
use crate::handshake::End;

/// Streams that a stranger may open to an acceptor: the one that carries the handshake.
const STRANGER_STREAMS_MAX: u32 = 1;
/// What a stranger may make us buffer on streams. All half-open handshakes together then hold 4 MiB at most.
const STRANGER_WINDOW_BYTES: u32 = 16 * 1024;
/// What a proven peer may make us buffer on all its streams: 1 Gbit/s over 64 ms.
const PEER_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// What a peer may make us buffer on one stream: an eighth of the whole, so that no stream starves the others.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// What we keep of what we sent until the peer has it.
const SEND_WINDOW_BYTES: u64 = 8 * 1024 * 1024;
/// Datagrams kept until they are read or sent; beyond that the oldest are dropped. Fifty packets of gossip.
pub(crate) const DATAGRAM_BUFFER_BYTES: usize = 64 * 1024;
/// Connection attempts that wait for [`Endpoint::accept`](crate::Endpoint::accept) to look at them.
const WAITING_MAX: usize = 1024;
/// Bytes kept for one attempt that waits, and for all of them.
const WAITING_BYTES_MAX: (u64, u64) = (16 * 1024, 4 * 1024 * 1024);
/// Length of our connection ids: random, so long that two never meet.
const CONNECTION_ID_BYTES: usize = 8;
/// Length of the id that a dialler makes up for the acceptor. RFC 9000, section 7.2, asks for 8 or more.
const FIRST_CONNECTION_ID_BYTES: usize = 16;

/// What quinn is made of.
pub(crate) struct Settings {
    pub(crate) endpoint: quinn::EndpointConfig,
    pub(crate) server: quinn::ServerConfig,
    pub(crate) client: quinn::ClientConfig,
}

impl Settings {
    /// `reset_key` outlives the process: by it a new one ends the connections of the old one.
    pub(crate) fn new(
        config: &EndpointConfig,
        tls: &Tls,
        entropy: &Arc<dyn Entropy>,
        reset_key: &[u8],
    ) -> Self {
        Self {
            endpoint: endpoint(entropy, reset_key),
            server: server(config, tls, &**entropy),
            client: client(config, tls, entropy),
        }
    }
}

fn endpoint(entropy: &Arc<dyn Entropy>, reset_key: &[u8]) -> quinn::EndpointConfig {
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, reset_key);
    let mut endpoint = quinn::EndpointConfig::new(Arc::new(reset_key));
    let ids = RandomIds(entropy.clone());
    endpoint.cid_generator(move || Box::new(ids.clone())).rng_seed(Some(draw(&**entropy)));
    endpoint
}

fn server(config: &EndpointConfig, tls: &Tls, entropy: &dyn Entropy) -> quinn::ServerConfig {
    let token_key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&draw::<64>(entropy));
    let mut server = quinn::ServerConfig::new(tls.server.clone(), Arc::new(token_key));
    let mut no_tokens = ValidationTokenConfig::default();
    no_tokens.sent(0).log(Arc::new(NoneTokenLog));
    let (one, all) = WAITING_BYTES_MAX;
    server
        .transport_config(Arc::new(transport(config, STRANGER_STREAMS_MAX)))
        .validation_token_config(no_tokens)
        .max_incoming(WAITING_MAX)
        .incoming_buffer_size(one)
        .incoming_buffer_size_total(all)
        .time_source(Arc::new(SinceStart(Instant::now())));
    server
}

fn client(config: &EndpointConfig, tls: &Tls, entropy: &Arc<dyn Entropy>) -> quinn::ClientConfig {
    let mut client = quinn::ClientConfig::new(tls.client.clone());
    let entropy = entropy.clone();
    client
        .transport_config(Arc::new(transport(config, 0)))
        .token_store(Arc::new(NoneTokenStore))
        .initial_dst_cid_provider(Arc::new(move || {
            ConnectionId::new(&draw::<FIRST_CONNECTION_ID_BYTES>(&*entropy))
        }));
    client
}

/// The round trip that is assumed before the first was seen. RFC 9002 suggests 333 ms, with which a first packet that is
/// lost, because the peer's process is a moment younger, costs a second, and the next one three. A longer path costs a
/// repeated packet or two.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Limits as they are before the proof; [`widen`] raises them after it.
fn transport(config: &EndpointConfig, streams: u32) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.initial_rtt(INITIAL_RTT);
    transport
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(0_u32.into())
        .receive_window(STRANGER_WINDOW_BYTES.into())
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BUFFER_BYTES)
        .max_idle_timeout(Some(idle_timeout(config.idle_timeout)))
        .keep_alive_interval(Some(config.keep_alive_interval));
    transport
}

/// QUIC counts milliseconds in 62 bits; who asks for more gets the most that there is.
fn idle_timeout(wanted: Duration) -> IdleTimeout {
    IdleTimeout::try_from(wanted).unwrap_or_else(|_| IdleTimeout::from(VarInt::MAX))
}

/// Gives a proven peer its room. At the acceptor the handshake's own stream, which still ends, counts too; QUIC would
/// announce its place only once an eighth of all places has become free.
pub(crate) fn widen(connection: &quinn::Connection, end: End, streams_max: u16) {
    let handshake = match end {
        End::Dialler => 0,
        End::Acceptor => STRANGER_STREAMS_MAX,
    };
    connection.set_receive_window(PEER_WINDOW_BYTES.into());
    connection.set_max_concurrent_bi_streams((u32::from(streams_max) + handshake).into());
}

/// Random bytes.
pub(crate) fn draw<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes);
    bytes
}

/// Connection ids from the entropy seam.
#[derive(Clone)]
struct RandomIds(Arc<dyn Entropy>);

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&draw::<CONNECTION_ID_BYTES>(&*self.0))
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// The age of a retry token is all that quinn wants a wall clock for, and only this start of this node reads it. So
/// tokio's clock does, which a simulation controls.
struct SinceStart(Instant);

impl TimeSource for SinceStart {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.0.elapsed()
    }
}
