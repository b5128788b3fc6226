//! Sockets with time stamps, and the contract between a gateway's machine and the shell that owns its sockets.

mod gateway;

pub use gateway::{GatewayIo, Now, OrderMachine, Received, SendError};
