//! Shipped code at workers, by the driver that ships it.

use std::path::Path;
use std::time::Duration;

use phalanx::{CallError, CallOptions, WorkerBuilder, WorkerHandle};
use phalanx_drivers::wasm::{
    Entry, SignedModule, Wasm, WasmClient, WasmError, WasmHost, WasmLimits, WasmPolicy,
};

use crate::demo::AnyError;
use crate::modules::{FUNCTION, MODULE, ModuleErrand, ModuleOutcome, Signed};

/// How long a call, or a push with its compiling, may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long a guest may count: it needs a thousandth of a second, on a machine that has it to itself.
const TURN_TIME: Duration = Duration::from_secs(5);

/// Lets modules that this key has signed come to a worker, which keeps them beside its store.
pub(super) fn register(builder: WorkerBuilder, key: &str, store: &Path) -> Result<WorkerBuilder, AnyError> {
    let policy = WasmPolicy::kept_in(store.with_extension("modules"))
        .allow_signer("demo", key.parse()?)
        .limits(WasmLimits { turn_time: TURN_TIME, ..WasmLimits::default() });
    Ok(builder.job::<Wasm>(WasmHost::open(policy)?))
}

pub(super) async fn run(worker: WorkerHandle, errand: ModuleErrand) -> Result<ModuleOutcome, String> {
    let client = WasmClient::new(worker.with(CallOptions { deadline: DEADLINE, ..CallOptions::default() }));
    match errand {
        ModuleErrand::Push(signed) => {
            client.push(&module(signed)?).await.map_err(|error| error.to_string())?;
            Ok(ModuleOutcome::Pushed)
        }
        ModuleErrand::Call { version, text } => {
            let entry = Entry::new(MODULE, FUNCTION);
            let entry = version.iter().fold(entry, |entry, version| entry.version(version));
            let returned = client.call(entry, text).await.map_err(|error| error.to_string())?;
            Ok(ModuleOutcome::Returned { version: returned.version, output: returned.output.to_vec() })
        }
        ModuleErrand::Switch(version) => {
            client.switch(MODULE, &version).await.map_err(|error| error.to_string())?;
            Ok(ModuleOutcome::Default(version))
        }
        ModuleErrand::RollBack(from) => match client.roll_back(MODULE, &from).await {
            // It was done before, and whoever did it has died before he could say so.
            Ok(version) | Err(CallError::Failed(WasmError::OtherDefault { version })) => {
                Ok(ModuleOutcome::Default(version))
            }
            Err(error) => Err(error.to_string()),
        },
        ModuleErrand::List => {
            let modules = client.list().await.map_err(|error| error.to_string())?;
            let module = modules.into_iter().find(|module| module.module == MODULE);
            let (versions, mut defaults) =
                module.map(|module| (module.versions, module.defaults)).unwrap_or_default();
            let versions = versions.into_iter().map(|version| version.version).collect();
            Ok(ModuleOutcome::Listed { versions, default: defaults.pop() })
        }
    }
}

fn module(signed: Signed) -> Result<SignedModule, String> {
    let announced = serde_json::from_value(signed.announced).map_err(|error| error.to_string())?;
    Ok(SignedModule { announced, bytes: signed.bytes.into() })
}
