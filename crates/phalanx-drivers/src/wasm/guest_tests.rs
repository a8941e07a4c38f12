//! Guests by hand, good and hostile, without a network: whatever they do ends as a result or as a typed error, in time.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tokio::time::Instant;

use super::super::compiled::Compiled;
use super::super::policy::Grant;
use super::super::signing::SignedModule;
use super::super::stop::Waiting;
use super::*;

const GRANTS: [Grant; 4] = [Grant::Log, Grant::Emit, Grant::Commands, Grant::Data];

/// What every guest here has: a page of memory, and room for its input at 1,024.
const HEAD: &str = r#"(func (export "phalanx_alloc") (param i32) (result i32) (i32.const 1024))"#;

const LIMITS: fn() -> WasmLimits = || WasmLimits {
    memory_bytes_max: 1 << 20,
    table_elements_max: 100,
    fuel_max: 100_000_000_000,
    turn_time: Duration::from_millis(100),
    output_bytes_max: 4 << 10,
    data_bytes_max: 1 << 10,
    data_keys_max: 8,
    ..WasmLimits::default()
};

fn machine(limits: WasmLimits) -> Arc<Machine> {
    Machine::new(limits, &BTreeSet::from(GRANTS)).unwrap()
}

fn compile(machine: &Machine, source: &[u8]) -> Result<Arc<Compiled>, WasmError> {
    let announced = SignedModule::unsigned("guest", "1", source.to_owned()).unwrap().announced;
    Compiled::new(machine, announced, "tests", source).map(Arc::new)
}

/// A module with these imports and this inside.
fn source(imports: &str, inside: &str) -> Vec<u8> {
    wat::parse_str(format!(r#"(module {imports} (memory (export "memory") 1) {HEAD} {inside})"#)).unwrap()
}

/// A module whose function `run` is this.
fn body(body: &str) -> Vec<u8> {
    source("", &format!(r#"(func (export "run") (param i32 i32) (result i64) {body})"#))
}

fn start(compiled: Arc<Compiled>, input: &[u8], stop: Stop) -> Result<Start, WasmError> {
    compiled.check_function("run")?;
    Ok(Start {
        running: compiled.begin(),
        function: "run".to_owned(),
        input: Bytes::copy_from_slice(input),
        data: Arc::default(),
        stop,
        task: None,
    })
}

#[allow(clippy::needless_pass_by_value, reason = "each source is made for one call")]
fn call_in(machine: &Machine, source: Vec<u8>, input: &[u8]) -> Result<Returned, WasmError> {
    run(machine, start(compile(machine, &source)?, input, Stop::default())?)
}

fn call(source: Vec<u8>, input: &[u8]) -> Result<Returned, WasmError> {
    call_in(&machine(LIMITS()), source, input)
}

const ECHO: &str =
    "(i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))";

fn trapped(text: &str) -> Result<Returned, WasmError> {
    Err(WasmError::Trapped { text: format!("wasm trap: {text}") })
}

#[test]
fn what_a_function_is_given_it_gives_back() {
    for input in [&b""[..], b"hello", &[7; 4 << 10]] {
        let returned = call(body(ECHO), input).unwrap();
        assert_eq!((&returned.output[..], returned.version.as_str()), (input, "1"));
        assert!((1..100).contains(&returned.fuel), "{}", returned.fuel);
    }
    // It begins with `_initialize`, if it has one.
    let inside = r#"(global $g (mut i64) (i64.const 99)) (func (export "_initialize") (global.set $g (i64.const 5)))
        (func (export "run") (param i32 i32) (result i64) (global.get $g))"#;
    assert_eq!(call(source("", inside), b"").unwrap().output.len(), 5);
}

#[test]
fn what_does_not_fit_the_contract_is_refused_before_it_runs() {
    let parse = |text: &str| wat::parse_str(text).unwrap();
    let machine = machine(LIMITS());
    let refused = |source: Vec<u8>| call_in(&machine, source, b"").unwrap_err();
    let missing = |error: WasmError, what: &str| {
        assert!(matches!(&error, WasmError::MissingExport { export } if export.contains(what)), "{error}");
    };
    missing(refused(parse("(module)")), "memory");
    missing(refused(parse(r#"(module (memory (export "memory") 1))"#)), "phalanx_alloc");
    let wrong =
        r#"(module (memory (export "memory") 1) (func (export "phalanx_alloc") (result i32) (i32.const 0)))"#;
    missing(refused(parse(wrong)), "phalanx_alloc");
    missing(refused(source("", r#"(func (export "_initialize") (param i32))"#)), "_initialize");

    let unknown = |error: WasmError, of: &str| {
        assert_eq!(error, WasmError::UnknownImport { import: of.to_owned() });
    };
    unknown(refused(source(r#"(import "env" "foo" (func))"#, "")), "env.foo");
    unknown(
        refused(source(r#"(import "wasi_snapshot_preview1" "fd_write" (func))"#, "")),
        "wasi_snapshot_preview1.fd_write",
    );
    let many: String = (0..20_000).map(|at| format!(r#"(import "env" "f{at}" (func))"#)).collect();
    unknown(refused(source(&many, "")), "env.f0");
    let long = format!(r#"(import "env" "{}" (func))"#, "n".repeat(50_000));
    assert!(matches!(refused(source(&long, "")), WasmError::UnknownImport { import } if import.len() < 200));
    // The right name with another type.
    let other = refused(source(r#"(import "phalanx" "log" (func (param i64)))"#, ""));
    assert!(matches!(other, WasmError::InvalidModule { .. }), "{other}");
    // What was not granted is not there.
    let narrow = Machine::new(LIMITS(), &BTreeSet::new()).unwrap();
    let emit = source(r#"(import "phalanx" "emit" (func (param i32 i32) (result i32)))"#, "");
    unknown(compile(&narrow, &emit).unwrap_err(), "phalanx.emit");

    assert_eq!(refused(source("", "")), WasmError::NoSuchFunction);
    let found = "(i32) -> i64, f32".to_owned();
    let inside = r#"(func (export "run") (param i32) (result i64 f32) unreachable)"#;
    assert_eq!(refused(source("", inside)), WasmError::WrongSignature { found });
    assert_eq!(
        refused(source("", r#"(global (export "run") i32 (i32.const 0))"#)),
        WasmError::NoSuchFunction
    );
}

#[test]
fn what_was_compiled_elsewhere_is_no_module() {
    let engine = wasmtime::Engine::default();
    let compiled = engine.precompile_module(&body(ECHO)).unwrap();
    assert!(matches!(call(compiled, b""), Err(WasmError::InvalidModule { .. })));
    assert!(matches!(call(b"(module)".to_vec(), b""), Err(WasmError::InvalidModule { .. })), "nor is text");
}

#[test]
fn a_source_that_is_not_what_was_announced_is_not_compiled() {
    let machine = machine(LIMITS());
    let announced = SignedModule::unsigned("guest", "1", body(ECHO)).unwrap().announced;
    let other = Compiled::new(&machine, announced.clone(), "", &body("unreachable"));
    assert_eq!(other.err(), Some(WasmError::Corrupt));
    assert_eq!(Compiled::new(&machine, announced, "", b"").err(), Some(WasmError::Corrupt));
}

#[test]
fn an_endless_guest_ends_in_time_wherever_it_loops() {
    let timed_out = Err(WasmError::TimedOut { time_ms: 100 });
    let begun = Instant::now();
    assert_eq!(call(body("(loop (br 0)) unreachable"), b""), timed_out);
    let endless = "(func $f (loop (br 0)))";
    let run = r#"(func (export "run") (param i32 i32) (result i64) (i64.const 0))"#;
    assert_eq!(call(source("", &format!("{endless} (start $f) {run}")), b""), timed_out);
    let initialize = format!(r#"{endless} (export "_initialize" (func $f)) {run}"#);
    assert_eq!(call(source("", &initialize), b""), timed_out);
    let allocate = format!(
        r#"(module (memory (export "memory") 1) (func (export "phalanx_alloc") (param i32) (result i32) (loop (br 0)) unreachable) {run})"#
    );
    assert_eq!(call(wat::parse_str(allocate).unwrap(), b""), timed_out);
    // A tail call is a loop too.
    let tail = r#"(func $f (param i32 i32) (result i64) (return_call $f (local.get 0) (local.get 1))) (export "run" (func $f))"#;
    assert_eq!(call(source("", tail), b""), timed_out);
    // Large steps are steps all the same.
    let fill = "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br 0)) unreachable";
    assert_eq!(call(body(fill), b""), timed_out);
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "six of them, each within a second: {:?}",
        begun.elapsed()
    );
}

#[test]
fn fuel_and_a_word_from_outside_end_a_guest_too() {
    let little = WasmLimits { fuel_max: 10_000, turn_time: Duration::from_secs(60), ..LIMITS() };
    let endless = || body("(loop (br 0)) unreachable");
    let machine = machine(little);
    assert_eq!(call_in(&machine, endless(), b""), Err(WasmError::OutOfFuel { fuel_max: 10_000 }));

    let patient = WasmLimits { turn_time: Duration::from_secs(60), ..LIMITS() };
    let machine = self::machine(patient);
    let waiting = Waiting::default();
    let start = start(compile(&machine, &endless()).unwrap(), b"", waiting.stop()).unwrap();
    let running = std::thread::spawn(move || run(&machine, start));
    drop(waiting);
    assert_eq!(running.join().unwrap(), Err(WasmError::Stopped));
}

#[test]
fn a_guest_that_wants_too_much_is_told_so() {
    let out_of_memory = Err(WasmError::OutOfMemory { bytes_max: 1 << 20 });
    let grow = "(loop (drop (memory.grow (i32.const 1))) (br 0)) unreachable";
    assert_eq!(call(body(grow), b""), out_of_memory);
    assert_eq!(call(body("(drop (memory.grow (i32.const 65535))) unreachable"), b""), out_of_memory);
    let large = format!(
        r#"(module (memory (export "memory") 17) {HEAD} (func (export "run") (param i32 i32) (result i64) {ECHO}))"#
    );
    assert_eq!(call(wat::parse_str(large).unwrap(), b""), out_of_memory);

    let too_large = Err(WasmError::TableTooLarge { elements_max: 100 });
    let run = |inside: &str| format!(r#"(func (export "run") (param i32 i32) (result i64) {inside})"#);
    assert_eq!(call(source("", &format!("(table 101 funcref) {}", run(ECHO))), b""), too_large);
    let grow = "(loop (drop (table.grow (ref.null func) (i32.const 1))) (br 0)) unreachable";
    assert_eq!(call(source("", &format!("(table 1 funcref) {}", run(grow))), b""), too_large);
    let tables = "(table 1 funcref)".repeat(5);
    assert!(matches!(
        call(source("", &format!("{tables} {}", run(ECHO))), b""),
        Err(WasmError::Trapped { .. })
    ));

    let large = body("(i64.const 4097)");
    assert_eq!(call(large, b""), Err(WasmError::OutputTooLarge { bytes: 4_097, bytes_max: 4_096 }));
    assert_eq!(
        call(body("(i64.const -1)"), b"").map_err(|error| matches!(error, WasmError::OutputTooLarge { .. })),
        Err(true)
    );
}

#[test]
fn a_guest_that_does_what_no_program_may_traps() {
    assert_eq!(call(body("unreachable"), b""), trapped("wasm `unreachable` instruction executed"));
    let recursion = r#"(func $f (export "run") (param i32 i32) (result i64) (i64.add (i64.const 1) (call $f (local.get 0) (local.get 1))))"#;
    assert_eq!(call(source("", recursion), b""), trapped("call stack exhausted"));
    let load = body("(i64.load (i32.const 65536))");
    assert_eq!(call(load, b""), trapped("out of bounds memory access"));
    let divide = body("(i64.div_u (i64.const 1) (i64.const 0))");
    assert_eq!(call(divide, b""), trapped("integer divide by zero"));
    let data =
        r#"(data (i32.const 65535) "ab") (func (export "run") (param i32 i32) (result i64) (i64.const 0))"#;
    assert_eq!(call(source("", data), b""), trapped("out of bounds memory access"));
    // Traps harm nobody else: the next call on the same machine is as good as the first.
    let machine = machine(LIMITS());
    for _ in 0..50 {
        assert!(call_in(&machine, body("unreachable"), b"").is_err());
    }
    assert_eq!(&call_in(&machine, body(ECHO), b"alive").unwrap().output[..], b"alive");
}

#[test]
fn code_that_is_hard_to_compile_is_compiled_or_refused() {
    let limits = WasmLimits { turn_time: Duration::from_secs(60), ..LIMITS() };
    let machine = machine(limits);
    let depth = 5_000;
    let nested = format!("{}{} i64.const 0", "block ".repeat(depth), "end ".repeat(depth));
    let long = format!("{}{} drop i64.const 0", "i64.const 1 ".repeat(depth), "i64.add ".repeat(depth - 1));
    let locals = format!("(local {}) i64.const 0", "i64 ".repeat(40_000));
    let labels = format!("block local.get 0 br_table {}end i64.const 0", "0 ".repeat(depth));
    for inside in [nested, long, locals, labels] {
        assert!(call_in(&machine, body(&inside), b"").unwrap().output.is_empty());
    }
    let locals = format!("(local {}) i64.const 0", "i64 ".repeat(60_000));
    assert!(matches!(call_in(&machine, body(&locals), b""), Err(WasmError::InvalidModule { .. })));
}

#[test]
fn lying_about_places_is_found() {
    let out_of_bounds =
        |what: &str, at, bytes| Err(WasmError::OutOfBounds { what: what.to_owned(), at, bytes });
    assert_eq!(call(body("(i64.const 0x0000_ffff_0000_0002)"), b""), out_of_bounds("output", 65_535, 2));
    assert_eq!(
        call(body("(i64.const 0xffff_ffff_0000_0fff)"), b""),
        out_of_bounds("output", u32::MAX, 4_095)
    );
    for (at, input) in [("65536", &b"a"[..]), ("-1", b"ab"), ("65535", b"ab")] {
        let lying = format!(
            r#"(module (memory (export "memory") 1) (func (export "phalanx_alloc") (param i32) (result i32) (i32.const {at}))
            (func (export "run") (param i32 i32) (result i64) unreachable))"#
        );
        let error = call(wat::parse_str(lying).unwrap(), input).unwrap_err();
        assert!(matches!(&error, WasmError::OutOfBounds { what, .. } if what == "input"), "{error}");
    }
}

/// All host functions with their number of parameters, and whether they return something.
const HOST: [(&str, usize, bool); 9] = [
    ("fail", 2, false),
    ("log", 3, false),
    ("emit", 2, true),
    ("command_wait", 1, true),
    ("command_read", 2, true),
    ("command_reply", 2, true),
    ("kv_read", 4, true),
    ("kv_write", 4, true),
    ("kv_delete", 2, true),
];

fn import((name, parameters, returns): (&str, usize, bool)) -> String {
    let result = if returns { "(result i32)" } else { "" };
    format!(r#"(import "phalanx" "{name}" (func ${name} (param {}) {result}))"#, "i32 ".repeat(parameters))
}

/// A function that calls this host function once, and returns so many bytes as it says.
fn calls(of: (&str, usize, bool), arguments: &[u32]) -> Vec<u8> {
    let arguments: String =
        arguments[..of.1].iter().map(|argument| format!("(i32.const {argument})")).collect();
    let called = format!("(call ${} {arguments})", of.0);
    let body = match of.2 {
        // Below zero is five digits long, others are none.
        true => format!("(i32.store (i32.const 2048) {called}) (i64.const 0x0000_0800_0000_0004)"),
        false => format!("{called} (i64.const 0)"),
    };
    source(&import(of), &format!(r#"(func (export "run") (param i32 i32) (result i64) {body})"#))
}

fn number(returned: &Returned) -> i32 {
    i32::from_le_bytes(returned.output[..].try_into().unwrap())
}

#[test]
fn a_call_has_no_events_and_no_commands() {
    for of in HOST.into_iter().filter(|of| ["emit", "command_wait", "command_reply"].contains(&of.0)) {
        assert_eq!(number(&call(calls(of, &[0; 4]), b"").unwrap()), -4, "{}", of.0);
    }
    assert_eq!(call(calls(HOST[0], &[1024, 3]), b"why"), Err(WasmError::Failed(Bytes::from_static(b"why"))));
}

#[test]
fn the_data_of_a_module_outlives_its_calls_and_is_bounded() {
    let machine = machine(LIMITS());
    let write = source(
        &import(HOST[7]),
        r#"(func (export "run") (param i32 i32) (result i64)
            (i32.store (i32.const 2048) (call $kv_write (local.get 0) (i32.const 1) (local.get 0) (local.get 1)))
            (i64.const 0x0000_0800_0000_0004))"#,
    );
    let compiled = compile(&machine, &write).unwrap();
    let data: Arc<Data> = Arc::default();
    let put = |input: &[u8]| {
        let start = Start { data: data.clone(), ..start(compiled.clone(), input, Stop::default()).unwrap() };
        number(&run(&machine, start).unwrap())
    };
    assert_eq!(put(b"key and value"), 0);
    assert_eq!(data.read(b"k").as_deref(), Some(&b"key and value"[..]));
    assert_eq!(put(&[b'x'; 1_025]), -2);
    assert_eq!(put(&[b'x'; 1_020]), -3);
    assert_eq!((0..8).map(|key| put(&[key])).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 0, 0, -3]);
    assert_eq!(compiled.running(), 0);
}

#[test]
fn a_guest_that_logs_without_end_has_its_lines_and_no_more() {
    let machine = machine(LIMITS());
    let ticking = machine.ticker.begin();
    let mut budget = Budget::new(3);
    assert_eq!([(); 5].map(|()| budget.take(&ticking)), [Some(2), Some(1), Some(0), None, None]);
    while budget.take(&ticking).is_none() {
        std::thread::yield_now();
    }
    assert_eq!(budget.left, 2, "a second later there are as many again");
    let log = source(
        &import(HOST[1]),
        r#"(func (export "run") (param i32 i32) (result i64)
            (loop (call $log (i32.const 3) (i32.const 0) (i32.const 9)) (br 0)) unreachable)"#,
    );
    assert_eq!(call_in(&machine, log, b""), Err(WasmError::TimedOut { time_ms: 100 }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_guest_names_to_its_host_is_its_own_or_refused(
        of in 0..HOST.len(),
        arguments in prop::array::uniform4(prop_oneof![
            Just(0), Just(1), Just(1 << 10), Just((1 << 16) - 1), Just(1 << 16), Just(1 << 31), Just(u32::MAX), any::<u32>(),
        ]),
    ) {
        match call(calls(HOST[of], &arguments), b"input") {
            Ok(returned) if HOST[of].2 => prop_assert!((-5..=1 << 10).contains(&number(&returned))),
            Ok(_) => prop_assert!(HOST[of].0 == "log"),
            Err(WasmError::OutOfBounds { .. }) => {}
            Err(error) => prop_assert!(matches!(error, WasmError::Failed(_)) && HOST[of].0 == "fail", "{}", error),
        }
    }

    #[test]
    fn any_bytes_are_no_module(mut bytes in prop::collection::vec(any::<u8>(), 0..300), with_head in any::<bool>()) {
        if with_head {
            bytes.splice(0..0, *b"\0asm\x01\0\0\0");
        }
        let is_refused = matches!(
            call(bytes, b""),
            Err(WasmError::InvalidModule { .. } | WasmError::MissingExport { .. } | WasmError::UnknownImport { .. })
        );
        prop_assert!(is_refused);
    }

    #[test]
    fn a_module_with_changed_bytes_is_refused_or_ends(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = source(
            &import(HOST[1]),
            r#"(table 2 funcref) (data (i32.const 8) "text") (global $g (mut i32) (i32.const 7))
            (func $f (param i32) (result i32) (i32.add (local.get 0) (global.get $g)))
            (func (export "run") (param i32 i32) (result i64)
                (call $log (i32.const 9) (local.get 0) (local.get 1))
                (loop (global.set $g (i32.sub (global.get $g) (i32.const 1))) (br_if 0 (global.get $g)))
                (i64.extend_i32_u (call $f (i32.const 8))))"#,
        );
        for (at, byte) in changes {
            *at.get_mut(&mut bytes) = byte;
        }
        let begun = Instant::now();
        // Whatever it is: it comes back.
        let _ = call_in(&machine(WasmLimits { turn_time: Duration::from_millis(30), ..LIMITS() }), bytes, b"input");
        prop_assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
