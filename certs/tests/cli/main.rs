//! The program from outside.

mod openssl;
mod program;
mod usage;
