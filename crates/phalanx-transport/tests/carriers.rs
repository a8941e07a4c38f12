//! What a link promises, on every carrier: each test body runs over each transport on real sockets, and in memory.

// Helpers of tests may panic as tests do.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use phalanx_base::{Boot, Entropy, Generation, Lane, NodeId, Role, TransportKind};
use phalanx_transport::{
    AdmitAll, CloseReason, DatagramError, Endpoint, EndpointConfig, FRAME_BYTES_MAX, Frame, FrameCaps,
    FrameError, Link, LinkLost, LocalNode, Peer, Seams, Secret, StreamError, SystemEntropy,
};

static CAPS: FrameCaps = FrameCaps::new().with(1, 64).with(2, 4 * 1024 * 1024);

/// Two ends of a link, and what must live as long.
struct Ends {
    a: Link,
    b: Link,
    _endpoints: Vec<Endpoint>,
}

fn boot(name: &str) -> Boot {
    Boot { node: NodeId::new(name).unwrap(), generation: Generation::from_u64(1) }
}

async fn over(transport: TransportKind) -> Ends {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let secret = Secret::generate(&*entropy);
    let bind = |name, role| {
        let local = LocalNode { cluster: "media".into(), boot: boot(name), role };
        let (config, listen) = (EndpointConfig::default(), "127.0.0.1:0".parse().unwrap());
        let admit = Arc::new(AdmitAll);
        Endpoint::bind(config, local, (&secret).into(), listen, &Seams::real(), admit).unwrap()
    };
    let (dialler, acceptor) = (bind("a", Role::Control), bind("b", Role::Worker));
    let dial = dialler.dial_over(acceptor.local_addr(), transport);
    let (a, b) = tokio::join!(dial, acceptor.accept());
    Ends { a: a.unwrap(), b: b.unwrap(), _endpoints: vec![dialler, acceptor] }
}

fn in_memory() -> Ends {
    let peer = |name, role, dialled| Peer { boot: boot(name), role, remote: None, dialled, wire: 1 };
    let (a, b) = Link::pair(peer("a", Role::Control, false), peer("b", Role::Worker, true));
    Ends { a, b, _endpoints: Vec::new() }
}

macro_rules! on_every_carrier {
    ($($(#[$doc:meta])* async fn $name:ident($ends:ident: Ends) $body:block)*) => {
        $(
            $(#[$doc])*
            mod $name {
                use super::*;

                async fn body($ends: Ends) $body

                #[tokio::test]
                async fn quic() {
                    body(over(TransportKind::Quic).await).await;
                }

                #[tokio::test]
                async fn tls() {
                    body(over(TransportKind::Tls).await).await;
                }

                #[tokio::test]
                async fn websocket() {
                    body(over(TransportKind::WebSocket).await).await;
                }

                #[tokio::test]
                async fn memory() {
                    body(in_memory()).await;
                }
            }
        )*
    };
}

on_every_carrier! {
    async fn each_end_knows_the_other(ends: Ends) {
        let (b, a) = (ends.a.peer(), ends.b.peer());
        assert_eq!((b.boot.node.as_str(), b.role, b.dialled), ("b", Role::Worker, true));
        assert_eq!((a.boot.node.as_str(), a.role, a.dialled), ("a", Role::Control, false));
        assert_ne!(ends.a.id(), ends.b.id());
        assert_eq!(ends.a.clone().id(), ends.a.id());
    }

    async fn frames_go_round_on_each_lane(ends: Ends) {
        for lane in Lane::ALL {
            for (from, to) in [(&ends.a, &ends.b), (&ends.b, &ends.a)] {
                let (mut ask, mut answer) = from.open(lane).await.unwrap();
                ask.send(1, "ping").await.unwrap();
                ask.finish().unwrap();
                assert_eq!(ask.send(1, "late").await, Err(StreamError::Finished));
                let (arrived, mut reply, mut asked) = to.accept().await.unwrap();
                assert_eq!(arrived, lane);
                assert_eq!(asked.next(&CAPS).await, Ok(Some(Frame::new(1, "ping"))));
                assert_eq!(asked.next(&CAPS).await, Ok(None));
                assert_eq!(asked.next(&CAPS).await, Ok(None), "the end stays");
                let large = Frame::new(2, vec![5; 3_000_000]);
                let (sent, got) =
                    tokio::join!(reply.send(large.kind, large.body.clone()), answer.next(&CAPS));
                assert_eq!((sent, got), (Ok(()), Ok(Some(large))));
            }
        }
    }

    async fn many_tiny_frames_arrive_in_order(ends: Ends) {
        let frames: Vec<Frame> =
            (0..20_000_u32).map(|n| Frame::new(1, n.to_le_bytes().to_vec())).collect();
        let (mut sender, _receiver) = ends.a.open(Lane::Event).await.unwrap();
        let send = async {
            for batch in frames.chunks(500) {
                sender.send_all(batch).await.unwrap();
            }
            drop(sender);
        };
        let receive = async {
            let (_, _sender, mut receiver) = ends.b.accept().await.unwrap();
            let mut got = Vec::new();
            while let Some(frame) = receiver.next(&CAPS).await.unwrap() {
                got.push(frame);
            }
            got
        };
        let ((), got) = tokio::join!(send, receive);
        assert!(got == frames, "dropping the sender finishes, after {} frames", got.len());
    }

    async fn frames_that_are_not_taken_are_refused_and_the_link_lives_on(ends: Ends) {
        for (frame, error) in [
            (Frame::new(1, vec![0; 65]), FrameError::TooLarge { kind: 1, bytes: 65, bytes_max: 64 }),
            (Frame::new(9, ""), FrameError::UnknownKind { kind: 9 }),
        ] {
            let (mut sender, _receiver) = ends.a.open(Lane::Request).await.unwrap();
            sender.send_all(&[Frame::new(1, "fine"), frame]).await.unwrap();
            let (_, _sender, mut receiver) = ends.b.accept().await.unwrap();
            assert_eq!(receiver.next(&CAPS).await, Ok(Some(Frame::new(1, "fine"))));
            assert_eq!(receiver.next(&CAPS).await, Err(StreamError::Frame(error)));
            assert_eq!(receiver.next(&CAPS).await, Err(StreamError::Frame(error)), "and stays so");
            // The sender learns that nobody reads.
            let told = loop {
                if let Err(error) = sender.send(1, "more").await {
                    break error;
                }
                tokio::task::yield_now().await;
            };
            assert_eq!(told, StreamError::Stopped);
        }
        let (mut sender, _receiver) = ends.a.open(Lane::Request).await.unwrap();
        let too_long = vec![0; FRAME_BYTES_MAX as usize + 1];
        assert!(matches!(sender.send(2, too_long).await, Err(StreamError::Frame(_))));
        sender.send(1, "still here").await.unwrap();
        let (_, _sender, mut receiver) = ends.b.accept().await.unwrap();
        assert_eq!(receiver.next(&CAPS).await, Ok(Some(Frame::new(1, "still here"))));
    }

    /// `next` is given up again and again while a long frame arrives in pieces.
    async fn nothing_is_lost_by_a_receive_that_was_cancelled(ends: Ends) {
        let large = Frame::new(2, vec![7; 3_000_000]);
        let (mut sender, _receiver) = ends.a.open(Lane::Bulk).await.unwrap();
        let receive = async {
            let (_, _sender, mut receiver) = ends.b.accept().await.unwrap();
            let mut cancelled = 0;
            loop {
                tokio::select! {
                    biased;
                    frame = receiver.next(&CAPS) => return (frame.unwrap().unwrap(), cancelled),
                    () = tokio::task::yield_now() => cancelled += 1,
                }
            }
        };
        let (sent, (got, cancelled)) = tokio::join!(sender.send(2, large.body.clone()), receive);
        assert!(sent.is_ok() && got == large && cancelled > 1, "cancelled {cancelled} times");
    }

    /// A send is given up while the window is full; the frame is whole all the same, and before the next one.
    async fn no_frame_is_torn_by_a_send_that_was_cancelled(ends: Ends) {
        let large = Frame::new(2, vec![7; 3_000_000]);
        let (mut sender, _receiver) = ends.a.open(Lane::Bulk).await.unwrap();
        tokio::select! {
            biased;
            sent = sender.send(2, large.body.clone()) => panic!("no window is that large: {sent:?}"),
            () = tokio::task::yield_now() => {}
        }
        let receive = async {
            let (_, _sender, mut receiver) = ends.b.accept().await.unwrap();
            [receiver.next(&CAPS).await, receiver.next(&CAPS).await]
        };
        let (sent, got) = tokio::join!(sender.send(1, "next"), receive);
        assert_eq!(sent, Ok(()));
        assert_eq!(got, [Ok(Some(large)), Ok(Some(Frame::new(1, "next")))]);
    }

    async fn giving_up_a_stream_is_told(ends: Ends) {
        let (mut sender, _receiver) = ends.a.open(Lane::Request).await.unwrap();
        sender.send(1, "begun").await.unwrap();
        let (_, _sender, mut receiver) = ends.b.accept().await.unwrap();
        assert_eq!(receiver.next(&CAPS).await, Ok(Some(Frame::new(1, "begun"))));
        sender.reset();
        assert_eq!(receiver.next(&CAPS).await, Err(StreamError::Reset));
        assert_eq!(sender.send(1, "late").await, Err(StreamError::Finished));

        // A send that was given up halfway leaves no way to finish: the peer must not take the half for a whole.
        let (mut sender, _receiver) = ends.a.open(Lane::Request).await.unwrap();
        tokio::select! {
            biased;
            sent = sender.send(2, vec![7; 3_000_000]) => panic!("no window is that large: {sent:?}"),
            () = tokio::task::yield_now() => {}
        }
        let (_, _sender, mut receiver) = ends.b.accept().await.unwrap();
        drop(sender);
        assert_eq!(receiver.next(&CAPS).await, Err(StreamError::Reset));
    }

    async fn datagrams_go_both_ways(ends: Ends) {
        for (from, to) in [(&ends.a, &ends.b), (&ends.b, &ends.a)] {
            assert!(from.datagram_bytes_max() >= 1100);
            let long = Bytes::from(vec![3; from.datagram_bytes_max()]);
            from.send_datagram(Bytes::from_static(b"gossip")).unwrap();
            from.send_datagram(long.clone()).unwrap();
            assert_eq!(to.recv_datagram().await, Ok(Bytes::from_static(b"gossip")));
            assert_eq!(to.recv_datagram().await, Ok(long));
            let too_long = Bytes::from(vec![3; 4000]);
            let error = from.send_datagram(too_long).unwrap_err();
            assert!(matches!(error, DatagramError::TooLarge { bytes: 4000, .. }), "{error}");
        }
    }

    async fn datagrams_that_nobody_reads_are_dropped_and_not_kept(ends: Ends) {
        for n in 0..1_000_u32 {
            ends.a.send_datagram([n.to_le_bytes().to_vec(), vec![0; 1_000]].concat().into()).unwrap();
            tokio::task::yield_now().await;
        }
        let mut kept = 0;
        loop {
            // The last one may be lost on the way as any other; then it is sent again.
            match tokio::time::timeout(Duration::from_secs(1), ends.b.recv_datagram()).await {
                Ok(datagram) if datagram.clone().unwrap().starts_with(&999_u32.to_le_bytes()) => break,
                Ok(_) => kept += 1,
                Err(_elapsed) => {
                    ends.a.send_datagram(999_u32.to_le_bytes().to_vec().into()).unwrap();
                }
            }
        }
        assert!(kept < 200, "{kept} kilobytes were kept");
    }

    async fn both_ends_learn_why_a_link_is_closed(ends: Ends) {
        let (mut sender, mut receiver) = ends.a.open(Lane::Control).await.unwrap();
        sender.send(1, "hello").await.unwrap();
        let (_, mut reply, mut asked) = ends.b.accept().await.unwrap();
        assert_eq!(asked.next(&CAPS).await, Ok(Some(Frame::new(1, "hello"))));
        assert!(!ends.a.is_closed() && ends.b.close_reason().is_none());

        let reason = CloseReason::Application { code: 42, detail: "moved away".into() };
        ends.a.close(reason.clone());
        ends.a.close(CloseReason::Shutdown);
        let (here, there) = (LinkLost::ClosedHere(reason.clone()), LinkLost::ClosedByPeer(reason));
        assert_eq!(tokio::join!(ends.a.closed(), ends.b.closed()), (here.clone(), there.clone()));
        assert_eq!((ends.a.close_reason(), ends.b.close_reason()), (Some(here.clone()), Some(there.clone())));
        for (link, lost, sender, receiver) in [
            (&ends.a, here, &mut sender, &mut receiver),
            (&ends.b, there, &mut reply, &mut asked),
        ] {
            assert!(link.is_closed());
            assert_eq!(link.open(Lane::Bulk).await.unwrap_err(), lost);
            assert_eq!(link.accept().await.unwrap_err(), lost);
            assert_eq!(link.recv_datagram().await.unwrap_err(), lost);
            assert_eq!(link.send_datagram(Bytes::new()), Err(DatagramError::Link(lost.clone())));
            assert_eq!(sender.send(1, "x").await, Err(StreamError::Link(lost.clone())));
            assert_eq!(receiver.next(&CAPS).await, Err(StreamError::Link(lost)));
        }
    }

    /// More than any window holds is under way when the link is closed, and nothing is missing; the peer reads the last of
    /// it after the close.
    async fn a_close_that_flushes_loses_nothing_that_was_sent(ends: Ends) {
        let (mut kept, _kept) = ends.a.open(Lane::Control).await.unwrap();
        let reason = CloseReason::Application { code: 7, detail: "moved".into() };
        let send = async {
            kept.send(1, "kept open").await.unwrap();
            for n in 0..40_u8 {
                let (mut sender, _receiver) = ends.a.open(Lane::Bulk).await.unwrap();
                sender.send(2, vec![n; 100_000]).await.unwrap();
            }
            assert!(ends.a.close_flushed(reason.clone(), Duration::from_secs(20)).await);
            assert_eq!(ends.a.open(Lane::Bulk).await.unwrap_err(), LinkLost::ClosedHere(reason.clone()));
            assert!(kept.send(1, "late").await.is_err());
        };
        let accept = async {
            let mut streams = Vec::new();
            for _ in 0..41 {
                streams.push(ends.b.accept().await.unwrap());
            }
            streams
        };
        let ((), mut streams) = tokio::join!(send, accept);
        assert_eq!(ends.b.closed().await, LinkLost::ClosedByPeer(reason.clone()));
        let (mut large, mut small) = (0, 0);
        for (_, _, receiver) in &mut streams {
            match receiver.next(&CAPS).await.unwrap().unwrap() {
                Frame { kind: 1, body } => small += usize::from(body == "kept open"),
                Frame { body, .. } => large += usize::from(body.len() == 100_000),
            }
        }
        assert_eq!((large, small), (40, 1));
        assert!(!ends.a.close_flushed(CloseReason::Shutdown, Duration::ZERO).await, "it was closed before");
    }

    /// Streams that the peer stopped give their places back, though the link keeps their sending halves for a while.
    async fn stopped_streams_take_no_place(ends: Ends) {
        for _ in 0..600 {
            let (mut sender, receiver) = ends.a.open(Lane::Request).await.unwrap();
            sender.send(1, "unwanted").await.unwrap();
            drop(ends.b.accept().await.unwrap());
            while sender.send(1, "more").await.is_ok() {
                tokio::task::yield_now().await;
            }
            drop((sender, receiver));
        }
    }

    async fn a_link_that_nobody_holds_is_closed(ends: Ends) {
        let Ends { a, b, _endpoints } = ends;
        let (sender, receiver) = a.open(Lane::Control).await.unwrap();
        drop(a);
        // A stream holds the link too.
        let (_, mut reply, _asked) = b.accept().await.unwrap();
        reply.send(1, "still here").await.unwrap();
        assert!(!b.is_closed());
        drop((sender, receiver));
        assert_eq!(b.closed().await, LinkLost::ClosedByPeer(CloseReason::Dropped));
    }

    async fn no_more_streams_than_agreed(ends: Ends) {
        let mut held = Vec::new();
        for _ in 0..256 {
            held.push(ends.a.open(Lane::Bulk).await.unwrap());
        }
        let accept_all = async {
            let mut accepted = Vec::new();
            for _ in 0..256 {
                accepted.push(ends.b.accept().await.unwrap());
            }
            accepted
        };
        let one_more = ends.a.open(Lane::Control);
        tokio::pin!(one_more);
        let accepted = tokio::select! {
            biased;
            opened = &mut one_more => panic!("one too many: {opened:?}"),
            accepted = accept_all => accepted,
        };
        drop((held, accepted));
        let (opened, accepted) = tokio::join!(one_more, ends.b.accept());
        assert!(opened.is_ok() && accepted.is_ok_and(|(lane, ..)| lane == Lane::Control));
    }
}
