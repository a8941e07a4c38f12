//! A peer that has proved itself and then breaks the rules of frames: each breach ends its stream with a typed error, and
//! none costs memory.

use phalanx_base::Lane;
use phalanx_transport::{End, FRAME_BYTES_MAX, FrameCaps, FrameError, Link, StreamError};

use crate::raw::{Raw, Speaker};
use crate::victim::{Victim, local};

/// A kind without a body, a small one, a large one and the largest that there is.
static CAPS: FrameCaps =
    FrameCaps::new().with(1, 0).with(2, 64).with(3, 1024 * 1024).with(4, FRAME_BYTES_MAX);

async fn proven() -> (Victim, Raw, Speaker, Link) {
    let (victim, raw) = (Victim::new(), Raw::new());
    let dial = async {
        let mut speaker = raw.dial(victim.address()).await;
        let honest = speaker.honest(End::Dialler, &local("peer"), &victim.secret);
        speaker.prove(honest).await;
        speaker
    };
    let (speaker, link) = tokio::join!(dial, victim.endpoint.accept());
    (victim, raw, speaker, link.unwrap())
}

/// What the victim reads of a stream on which these bytes come, and nothing after them.
async fn read(speaker: &Speaker, link: &Link, bytes: &[u8], ends: bool) -> StreamError {
    let (mut send, _recv) = speaker.connection.open_bi().await.unwrap();
    send.write_all(&[&[Lane::Request.code()], bytes].concat()).await.unwrap();
    if ends {
        send.finish().unwrap();
    }
    let (lane, _sender, mut receiver) = link.accept().await.unwrap();
    assert_eq!(lane, Lane::Request);
    let error = receiver.next(&CAPS).await.expect_err("a frame that breaks the rules was read");
    assert_eq!(receiver.next(&CAPS).await, Err(error.clone()), "and for ever");
    error
}

fn header(kind: u8, bytes: u32) -> Vec<u8> {
    [&[kind], bytes.to_le_bytes().as_slice()].concat()
}

#[tokio::test]
async fn each_cap_holds_at_its_edge_and_by_the_header_alone() {
    let (_victim, _raw, speaker, link) = proven().await;
    for (kind, bytes_max) in [(1, 0), (2, 64), (3, 1024 * 1024), (4, FRAME_BYTES_MAX)] {
        for bytes in [bytes_max + 1, u32::MAX] {
            let error = read(&speaker, &link, &header(kind, bytes), false).await;
            assert_eq!(error, StreamError::Frame(FrameError::TooLarge { kind, bytes, bytes_max }));
        }
    }
    for kind in [0, 5, 255] {
        let error = read(&speaker, &link, &header(kind, 0), false).await;
        assert_eq!(error, StreamError::Frame(FrameError::UnknownKind { kind }));
    }
    assert!(!link.is_closed(), "what becomes of the link is for the layer above to say");
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_is_no_whole_frame() {
    let (_victim, _raw, speaker, link) = proven().await;
    for bytes in [header(2, 9), header(2, 9)[..3].to_vec(), [header(2, 9), vec![1; 8]].concat()] {
        assert_eq!(read(&speaker, &link, &bytes, true).await, StreamError::Truncated);
    }
}
