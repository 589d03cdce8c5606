"""The kernel language: a small closed language of loop nests that ops lower into and backends implement."""
