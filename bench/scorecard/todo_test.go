package scorecard

func tail() section { return section{title: "Tail"} }
