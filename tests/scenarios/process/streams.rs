//! The three streams of a program.

use std::time::Duration;

use phalanx::CallError;
use phalanx_drivers::process::{
    Exit, LogState, ProcessError, Run, STDIN_WRITES_MAX, Said, Stream, WRITE_BYTES_MAX,
};
use tests::soon;

use super::stage::{WORKER, shell, stage, text};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn output_comes_in_order_with_offsets_and_the_two_streams_apart() {
    // Each line waits until the one before was heard: so the order of the two streams is known.
    let script = "echo one; read x; echo two >&2; read x; printf three; read x; echo four >&2";
    let program = stage().run(WORKER, shell(script).open_stdin()).await;
    let listener = &stage().listener;
    for (stream, expected) in
        [(Stream::Stdout, "one\n"), (Stream::Stderr, "two\n"), (Stream::Stdout, "one\nthree")]
    {
        listener.wait_text(&program, stream, expected).await;
        program.write("\n").await.unwrap();
    }
    let finished = soon("the program ends", program.finished()).await.unwrap();
    assert_eq!(finished.exit, Exit::Code(0));
    assert_eq!((finished.stdout_bytes, finished.stderr_bytes), (9, 9));
    assert_eq!(finished.last_lines, ["one", "two", "four", "three"], "a line counts when it ends");

    let said =
        listener.wait(&program, "all output", |said| text(said, Stream::Stderr) == "two\nfour\n").await;
    let [Said::Started { pid, folder, .. }, output @ ..] = said.as_slice() else { panic!("{said:?}") };
    assert!(*pid > 1);
    assert!(folder.ends_with("general/root"), "{folder}");
    let mut offset = 0;
    let mut streams = Vec::new();
    for said in output {
        let Said::Output(chunk) = said else { panic!("{said:?}") };
        assert_eq!(chunk.offset, offset);
        offset += chunk.bytes.len() as u64;
        streams.push(chunk.stream);
    }
    assert_eq!(offset, 18);
    assert_eq!(streams, [Stream::Stdout, Stream::Stderr, Stream::Stdout, Stream::Stderr]);

    // The log says the same, from any offset, after the end.
    let page = program.follow(0, PATIENCE).await.unwrap();
    let logged: Vec<Said> = page.chunks.iter().cloned().map(Said::Output).collect();
    assert_eq!(logged, output);
    assert_eq!((page.gap, page.next, page.state), (None, 18, LogState::Ended(Exit::Code(0))));
    let page = program.follow(6, PATIENCE).await.unwrap();
    assert_eq!((page.chunks[0].offset, &page.chunks[0].bytes[..]), (6, &b"o\n"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_to_cat_comes_back() {
    let program = stage().run(WORKER, Run::new("cat").open_stdin()).await;
    let mut expected = String::new();
    for number in 0..30 {
        let line = format!("line {number}\n");
        program.write(line.clone()).await.unwrap();
        expected.push_str(&line);
    }
    stage().listener.wait_text(&program, Stream::Stdout, &expected).await;
    program.close_stdin().await.unwrap();
    let late = program.write("late").await;
    let finished = soon("cat ends", program.finished()).await.unwrap();
    assert_eq!(finished.exit, Exit::Code(0));
    assert_eq!(finished.stdout_bytes, expected.len() as u64);
    assert!(
        matches!(&late, Err(CallError::Failed(ProcessError::StdinClosed)))
            || late.as_ref().is_err_and(|error| error.reason().is_some()),
        "{late:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn input_is_at_its_end_unless_it_was_asked_for() {
    let program = stage().run(WORKER, Run::new("cat")).await;
    let finished = soon("cat ends", program.finished()).await.unwrap();
    assert_eq!((finished.exit, finished.stdout_bytes), (Exit::Code(0), 0));
    let program = stage().shell(WORKER, "sleep 30").await;
    assert_eq!(program.write("x").await, Err(CallError::Failed(ProcessError::StdinClosed)));
    program.signal(9).await.unwrap();
    soon("it is killed", program.finished()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_does_not_read_takes_only_so_much_and_still_hears_signals() {
    let program = stage().run(WORKER, shell("exec sleep 30").open_stdin()).await;
    let mut taken = 0;
    let refused = loop {
        match program.write(vec![b'x'; WRITE_BYTES_MAX]).await {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, CallError::Failed(ProcessError::StdinFull));
    assert!((STDIN_WRITES_MAX..=STDIN_WRITES_MAX + 2).contains(&taken), "{taken}");
    let too_large = program.write(vec![0; WRITE_BYTES_MAX + 1]).await;
    assert!(matches!(too_large, Err(CallError::Failed(ProcessError::Invalid(_)))), "{too_large:?}");
    program.signal(15).await.unwrap();
    let finished = soon("it hears the signal", program.finished()).await.unwrap();
    assert_eq!(finished.exit, Exit::Signal(15));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_closes_its_input_says_so() {
    let program = stage().run(WORKER, shell("exec <&-; echo closed; sleep 30").open_stdin()).await;
    stage().listener.wait_text(&program, Stream::Stdout, "closed\n").await;
    program.write("x").await.unwrap();
    stage().listener.wait(&program, "it is told", |said| said.contains(&Said::StdinClosed)).await;
    assert_eq!(program.write("x").await, Err(CallError::Failed(ProcessError::StdinClosed)));
    program.signal(9).await.unwrap();
    soon("it is killed", program.finished()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_log_waits_for_what_comes() {
    let run = shell("read x; echo $x; read x").open_stdin().without_output_events();
    let program = stage().run(WORKER, run).await;
    // The log is there once the program has started.
    stage().listener.wait(&program, "it starts", |said| !said.is_empty()).await;
    let empty = program.follow(0, Duration::ZERO).await.unwrap();
    assert_eq!((empty.chunks.len(), empty.next, empty.state), (0, 0, LogState::GoesOn));
    let reading = tokio::spawn({
        let program = program.clone();
        async move { program.follow(0, PATIENCE).await }
    });
    program.write("hello\n").await.unwrap();
    let page = soon("the reader is woken", reading).await.unwrap().unwrap();
    assert_eq!(&page.chunks[0].bytes[..], b"hello\n");
    let reading = tokio::spawn({
        let program = program.clone();
        async move { program.follow(6, PATIENCE).await }
    });
    program.close_stdin().await.unwrap();
    let page = soon("the reader hears of the end", reading).await.unwrap().unwrap();
    assert_eq!((page.chunks.len(), page.next, page.state), (0, 6, LogState::Ended(Exit::Code(1))));
    let finished = soon("it ends", program.finished()).await.unwrap();
    assert_eq!((finished.exit, finished.last_lines), (Exit::Code(1), vec!["hello".to_owned()]));
    assert_eq!(stage().listener.said(&program).len(), 1, "no output was asked for");
}
