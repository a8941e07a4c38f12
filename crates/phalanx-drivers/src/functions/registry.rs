//! The worker's half: which functions there are, and how one is run.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use phalanx_jobs::wire::PAYLOAD_BYTES_MAX;
use phalanx_jobs::{JobHandler, Payload, RequestContext, TaskContext};
use serde::Serialize;

use super::class::{Function, FunctionCall, FunctionCalls, FunctionReply, FunctionRequest, Refused};
use super::signature::Signature;

/// The longest name of a function, in bytes: it travels with each call.
pub const FUNCTION_NAME_BYTES_MAX: usize = 128;

/// How many functions a worker has: all their names and types must fit one message.
pub const FUNCTIONS_MAX: usize = 512;

/// The largest result, in bytes: what a message holds, without what is around it.
const RESULT_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - 64;

/// Why a function cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterFunctionError {
    /// The name is empty or longer than [`FUNCTION_NAME_BYTES_MAX`].
    #[error("the function name {0:?} is empty or longer than {FUNCTION_NAME_BYTES_MAX} bytes")]
    Name(String),
    /// There is a function of that name already.
    #[error("there is a function {0:?} already: register each name once")]
    Twice(String),
    /// There are [`FUNCTIONS_MAX`] functions already.
    #[error(
        "the function {0:?} is one more than the {FUNCTIONS_MAX} that a worker can have: write a job class"
    )]
    TooMany(String),
}

type Running = Pin<Box<dyn Future<Output = Result<Bytes, Refused>> + Send>>;

struct Registered {
    signature: Signature,
    run: Box<dyn Fn(Bytes) -> Running + Send + Sync>,
}

/// The functions of a worker: register it with `.job::<FunctionCalls>(Functions::new().register(…)?)`. Whoever may ask the
/// worker may call each of them.
#[derive(Default)]
pub struct Functions {
    functions: BTreeMap<String, Registered>,
}

impl Functions {
    /// No function yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function: `async |argument: A| -> Result<R, E> { … }`, or, where it shares something with other calls,
    /// `move |argument: A| { let shared = shared.clone(); async move { … } }`. It runs on threads that are kept for user
    /// code. A panic ends its call only. It is dropped where it waits when its caller goes away or its time is over.
    ///
    /// # Errors
    /// [`RegisterFunctionError`]; what was registered before is gone then too.
    pub fn register<A, R, E, F>(
        mut self,
        name: &str,
        function: impl Fn(A) -> F + Send + Sync + 'static,
    ) -> Result<Self, RegisterFunctionError>
    where
        A: Payload,
        R: Payload,
        E: Payload,
        F: Future<Output = Result<R, E>> + Send + 'static,
    {
        if name.is_empty() || name.len() > FUNCTION_NAME_BYTES_MAX {
            return Err(RegisterFunctionError::Name(name.to_owned()));
        }
        if self.functions.contains_key(name) {
            return Err(RegisterFunctionError::Twice(name.to_owned()));
        }
        if self.functions.len() >= FUNCTIONS_MAX {
            return Err(RegisterFunctionError::TooMany(name.to_owned()));
        }
        let run = move |argument: Bytes| -> Running {
            let argument = match postcard::take_from_bytes::<A>(&argument) {
                Ok((argument, [])) => argument,
                // What is left over is of another type too.
                Ok(_) | Err(_) => return Box::pin(async { Err(Refused::Argument) }),
            };
            let running = function(argument);
            Box::pin(async move {
                match running.await {
                    Ok(result) => encode(&result),
                    Err(error) => Err(encode(&error).map_or_else(|too_large| too_large, Refused::Failed)),
                }
            })
        };
        let registered = Registered { signature: Signature::of::<A, R, E>(), run: Box::new(run) };
        self.functions.insert(name.to_owned(), registered);
        Ok(self)
    }

    /// The functions, in the order of their names.
    #[must_use]
    pub fn list(&self) -> Vec<Function> {
        let functions = self.functions.iter();
        functions
            .map(|(name, function)| Function { name: name.clone(), signature: function.signature.clone() })
            .collect()
    }

    /// Finds and runs a function.
    async fn run(&self, call: FunctionCall) -> Result<Bytes, Refused> {
        let function = self.functions.get(&call.name).ok_or(Refused::NoSuchFunction)?;
        if function.signature != call.signature {
            return Err(Refused::OtherSignature { theirs: function.signature.clone() });
        }
        (function.run)(call.argument).await
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Bytes, Refused> {
    let refuse = |bytes| Refused::ResultTooLarge { bytes, bytes_max: RESULT_BYTES_MAX as u64 };
    let bytes = postcard::to_stdvec(value).map_err(|_| refuse(0))?;
    if bytes.len() > RESULT_BYTES_MAX {
        return Err(refuse(bytes.len() as u64));
    }
    Ok(bytes.into())
}

impl JobHandler<FunctionCalls> for Functions {
    async fn request(&self, _: RequestContext, request: FunctionRequest) -> Result<FunctionReply, Refused> {
        match request {
            FunctionRequest::Call(call) => self.run(call).await.map(FunctionReply::Returned),
            FunctionRequest::List => Ok(FunctionReply::Functions(self.list())),
        }
    }

    async fn task(&self, _: TaskContext<FunctionCalls>, call: FunctionCall) -> Result<Bytes, Refused> {
        self.run(call).await
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// The functions below never wait.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("the function waits"),
        }
    }

    fn functions() -> Functions {
        let functions = Functions::new().register("double", async |number: u64| -> Result<u64, String> {
            number.checked_mul(2).ok_or_else(|| "too large".to_owned())
        });
        let fill = |bytes: u32| async move { Ok::<Vec<u8>, ()>(vec![1; bytes as usize]) };
        functions.unwrap().register("fill", fill).unwrap()
    }

    fn call<A: Serialize, R, E>(name: &str, argument: &A) -> Result<Bytes, Refused> {
        let argument = postcard::to_stdvec(argument).unwrap().into();
        let signature = Signature::of::<A, R, E>();
        now(functions().run(FunctionCall { name: name.to_owned(), signature, argument }))
    }

    #[test]
    fn a_function_is_run_with_its_types_only() {
        assert_eq!(call::<_, u64, String>("double", &21_u64), Ok(vec![42].into()));
        let error = postcard::to_stdvec("too large").unwrap();
        assert_eq!(call::<_, u64, String>("double", &u64::MAX), Err(Refused::Failed(error.into())));
        assert_eq!(call::<_, u64, String>("triple", &21_u64), Err(Refused::NoSuchFunction));
        let theirs = Signature::of::<u64, u64, String>();
        let other = Err(Refused::OtherSignature { theirs });
        assert_eq!(call::<_, u64, String>("double", &21_u32), other);
        assert_eq!(call::<_, u32, String>("double", &21_u64), other);
        assert_eq!(call::<_, u64, ()>("double", &21_u64), other);
    }

    #[test]
    fn an_argument_of_the_right_name_and_another_shape_is_refused() {
        let signature = Signature::of::<u64, u64, String>();
        for bytes in [&[][..], &[0xff], &[1, 2]] {
            let argument = Bytes::copy_from_slice(bytes);
            let call = FunctionCall { name: "double".into(), signature: signature.clone(), argument };
            assert_eq!(now(functions().run(call)), Err(Refused::Argument), "{bytes:?}");
        }
    }

    #[test]
    fn a_result_that_fits_no_message_is_said() {
        let said = call::<_, Vec<u8>, ()>("fill", &2_000_000_u32);
        assert!(matches!(said, Err(Refused::ResultTooLarge { bytes, .. }) if bytes > 2_000_000), "{said:?}");
        assert!(call::<_, Vec<u8>, ()>("fill", &1_000_000_u32).is_ok());
    }

    #[test]
    fn names_are_checked_and_listed() {
        let one = async |number: u64| Ok::<u64, ()>(number);
        let twice = functions().register("double", one).err();
        assert_eq!(twice, Some(RegisterFunctionError::Twice("double".into())));
        assert_eq!(functions().register("", one).err(), Some(RegisterFunctionError::Name(String::new())));
        let long = "n".repeat(FUNCTION_NAME_BYTES_MAX + 1);
        assert_eq!(functions().register(&long, one).err(), Some(RegisterFunctionError::Name(long)));
        let mut many = Functions::new();
        for at in 0..FUNCTIONS_MAX {
            many = many.register(&format!("f{at}"), one).unwrap();
        }
        assert!(matches!(many.register("more", one), Err(RegisterFunctionError::TooMany(_))));
        let listed = functions().list();
        assert_eq!(listed[0].name, "double");
        assert_eq!(listed[1].signature.to_string(), "(u32) -> Result<Vec<u8>, ()>");
    }
}
