//! Code that is shipped to workers while they run, as WebAssembly.
