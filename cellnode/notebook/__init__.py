"""The notebook's side: `%%node` makes a cell a node, `%node` looks after nodes."""
