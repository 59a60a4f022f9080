"""What did happen: firing, delivery, outcomes, closing, and the sweeps that lose nothing."""
