"""From stored predictions to tables, intervals and sentences."""
