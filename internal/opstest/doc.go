// Package opstest tests the page of package ops in a browser. It is a module of
// its own, so that the browser's driver is not a dependency of anybody else.
package opstest
