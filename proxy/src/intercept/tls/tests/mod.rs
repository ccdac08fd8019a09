//! Both legs against each other and against OpenSSL.

mod endings;
mod failures;
mod hello;
mod openssl;
mod support;
mod system;
mod trust;
mod usual;
