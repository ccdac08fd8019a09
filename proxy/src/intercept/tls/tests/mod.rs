//! Both legs against each other and against OpenSSL.

mod hello;
mod support;
mod trust;
mod usual;
