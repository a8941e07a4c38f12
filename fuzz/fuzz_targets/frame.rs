//! Any bytes of a stream, in any pieces, give the same frames, each within the cap of its kind; or they are refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use phalanx_transport::{Frame, FrameCaps, FrameDecoder, FrameError};

static CAPS: FrameCaps = FrameCaps::new().with(1, 16).with(2, 1 << 16);

fuzz_target!(|input: (&[u8], u8)| {
    let (bytes, cut) = input;
    let whole = decode([bytes]);
    assert_eq!(decode(bytes.chunks(usize::from(cut).max(1))), whole);
    for frame in whole.0 {
        let bytes_max = CAPS.bytes_max(frame.kind).expect("only kinds with a cap are given out");
        assert!(frame.body.len() <= bytes_max as usize);
    }
});

/// Every frame in these pieces, and the error that ended them, if one did.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<FrameError>) {
    let (mut decoder, mut frames) = (FrameDecoder::new(), Vec::new());
    for piece in pieces {
        decoder.push(piece.to_vec().into());
        loop {
            match decoder.next_frame(&CAPS) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}
