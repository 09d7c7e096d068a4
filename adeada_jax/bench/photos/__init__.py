"""Two public sets of labelled street photographs, made into folders that prepare_data.py takes."""
